//! The form of templates that SST wrote for dev, and what is left alone.

use serde_json::{Value, json};

use super::*;
use crate::template::{self as template, Synthesis, TemplateFunction, inspect_synthesised};

fn made_for() -> SynthesisedFor {
    serde_json::from_value(json!({
        "account": "111122223333", "region": "ap-southeast-2", "stage": "dev", "application": "bank-payments",
        "bootstrap_bucket": "sstbootstrap-apsoutheast2-1a2b3c4d5e6f"
    }))
    .unwrap()
}

fn form_of(properties: &Value) -> (Form, Value) {
    let template = json!({"Resources": {"It": {"Type": "AWS::Some::Thing", "Properties": properties}}});
    let form = derive(template.to_string().as_bytes(), &made_for(), "api.json").unwrap();
    let mut document: Value = serde_json::from_slice(&form.bytes).unwrap();
    (form, document["Resources"]["It"]["Properties"].take())
}

/// What a string becomes, spelt as `Fn::Sub` would.
fn becomes(string: &str) -> String {
    let (form, document) = form_of(&json!({"It": string}));
    match form.mapping.substitutions.as_slice() {
        [] => {
            assert_eq!(document["It"], string);
            string.to_owned()
        }
        [one] => one.text.as_sub(),
        more => panic!("{more:?}"),
    }
}

#[test]
fn ssts_own_bucket_is_the_stages_and_told_where_nobody_declares_it() {
    let bucket = "sstbootstrap-apsoutheast2-1a2b3c4d5e6f";
    assert_eq!(becomes(bucket), "${SSTBootstrapBucket}");
    assert_eq!(becomes(&format!("arn:aws:s3:::{bucket}/*")), "arn:aws:s3:::${SSTBootstrapBucket}/*");
    assert_eq!(becomes(&format!("{bucket}7")), format!("{bucket}7"));
    let template = json!({"Resources": {"It": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": bucket}}}});
    let form = derive(template.to_string().as_bytes(), &made_for(), "api.json").unwrap();
    let document: Value = serde_json::from_slice(&form.bytes).unwrap();
    assert_eq!(document["Parameters"], json!({"Stage": {"Type": "String"}, "SSTBootstrapBucket": {"Type": "String"}}));
    assert_eq!(form.mapping.also, BTreeSet::from([BOOTSTRAP_PARAMETER.to_owned()]));
    // What a mapping says that the form declares is exactly that.
    let mut other = form.mapping.clone();
    other.also = BTreeSet::new();
    assert!(other.prove(template.to_string().as_bytes(), &form.bytes).is_err());
    let own = json!({"Parameters": {"SSTBootstrapBucket": {"Type": "String"}}, "Resources": template["Resources"]});
    assert!(derive(own.to_string().as_bytes(), &made_for(), "api.json").is_err());
    for made_for in [None, Some(SynthesisedFor { bootstrap_bucket: None, ..made_for() })] {
        let synthesis = Synthesis { declared: made_for, deployed: None };
        let (findings, _) = inspect_synthesised(template.to_string().as_bytes(), &synthesis, "api.json");
        assert!(findings.iter().any(|it| it.message.contains("SST's own bucket in dev's account")), "{findings:?}");
    }
}

#[test]
fn account_and_region_are_replaced_as_whole_words() {
    assert_eq!(becomes("111122223333"), "${AWS::AccountId}");
    assert_eq!(
        becomes("arn:aws:sns:ap-southeast-2:111122223333:alarms"),
        "arn:aws:sns:${AWS::Region}:${AWS::AccountId}:alarms"
    );
    assert_eq!(
        becomes("cdk-hnb659fds-assets-111122223333-ap-southeast-2"),
        "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
    );
    for left in ["1111222233334", "x111122223333", "ap-southeast-2a", "eu-west-1", "222233334444"] {
        assert_eq!(becomes(left), left);
    }
}

#[test]
fn the_stage_is_replaced_beside_the_application_only() {
    assert_eq!(becomes("dev-bank-payments-idempotency"), "${Stage}-bank-payments-idempotency");
    assert_eq!(becomes("bank-payments-dev-api"), "bank-payments-${Stage}-api");
    assert_eq!(
        becomes("/sst/bank-payments/dev/Secret/DATABASE_URL/value"),
        "/sst/bank-payments/${Stage}/Secret/DATABASE_URL/value"
    );
    assert_eq!(becomes("/dev/bank-payments/url"), "/${Stage}/bank-payments/url");
    assert_eq!(becomes("{{resolve:ssm:/bank-payments/dev/url}}"), "{{resolve:ssm:/bank-payments/${Stage}/url}}");
    assert_eq!(
        becomes("dev-bank-payments-DataStack:ExportsOutputRefbus27CE599B"),
        "${Stage}-bank-payments-DataStack:ExportsOutputRefbus27CE599B"
    );
    for left in [
        "dev",
        "/dev/null",
        "developer",
        "devbank-payments",
        "my-dev-bank-payments",
        "dev-bank-payments2",
        "bank-payments-development",
        "bank-payments/devices",
        "xbank-payments/dev",
        "/bank/dev/db-url",
        "dev.example.com",
    ] {
        assert_eq!(becomes(left), left);
    }
}

#[test]
fn what_serverless_exports_and_joins_is_the_stages() {
    assert_eq!(becomes("sls-bank-payments-dev-HttpApiId"), "sls-bank-payments-${Stage}-HttpApiId");
    assert_eq!(becomes("my-sls-bank-payments-dev"), "my-sls-bank-payments-dev");
    let stage = json!({"Ref": "Stage"});
    for (joined, at) in [
        (json!(["-", ["bank-payments", "dev", {"Ref": "AWS::Region"}, "lambdaRole"]]), 1),
        (json!(["-", ["bank-payments", "dev"]]), 1),
        (json!(["-", ["dev", "bank-payments", "x"]]), 0),
        (json!(["-", ["dev", "bank-payments-x"]]), 0),
        (json!(["/", [{"Ref": "Prefix"}, "bank-payments", "dev", "url"]]), 2),
        (json!(["/", ["", "sst/bank-payments", "dev"]]), 2),
        (json!(["/", ["", "dev", "bank-payments", "url"]]), 1),
    ] {
        let (form, document) = form_of(&json!({"It": {"Fn::Join": joined}}));
        assert_eq!(document["It"]["Fn::Join"][1][at], stage, "{joined}");
        assert_eq!(form.mapping.substitutions.len(), 1, "{joined}");
    }
    for left in [
        json!(["-", ["my", "bank-payments", "dev"]]),
        json!(["-", ["my-bank-payments", "dev"]]),
        json!(["-", ["x", "dev", "bank-payments"]]),
        json!(["-", ["dev", "bank-payments2"]]),
        json!(["-", ["bank-payments", {"Ref": "X"}, "dev"]]),
        json!(["", ["bank-payments", "dev"]]),
        json!([":", ["bank-payments", "dev"]]),
    ] {
        let (_, document) = form_of(&json!({"It": {"Fn::Join": left}}));
        assert_eq!(document["It"]["Fn::Join"], left);
    }
    // What touches another text that only the stage tells.
    let within = json!({"Fn::Join": ["", [{"Ref": "X"}, {"Fn::Join": ["-", ["bank-payments", "dev"]]}]]});
    let (_, document) = form_of(&json!({"It": within}));
    assert_eq!(document["It"], within);
}

#[test]
fn a_value_that_is_called_a_stage_is_replaced() {
    let (form, document) = form_of(&json!({
        "Environment": {"Variables": {"SST_STAGE": "dev", "STAGE": "dev", "BANK_ENV": "dev", "MODE": "dev", "STAGES": "dev"}},
        "Tags": [{"Key": "sst:stage", "Value": "dev"}, {"Key": "team", "Value": "dev"}],
        "StageName": "dev", "deploymentStage": "dev"
    }));
    let stage = json!({"Ref": "Stage"});
    assert_eq!(
        document,
        json!({
            "Environment": {"Variables": {"SST_STAGE": stage, "STAGE": stage, "BANK_ENV": stage, "MODE": "dev", "STAGES": "dev"}},
            "Tags": [{"Key": "sst:stage", "Value": stage}, {"Key": "team", "Value": "dev"}],
            "StageName": "dev", "deploymentStage": stage
        })
    );
    assert_eq!(form.mapping.declares, Declares::Section);
    assert_eq!(form.mapping.substitutions[0].place, "/Resources/It/Properties/Environment/Variables/BANK_ENV");
}

#[test]
fn in_functions_only_what_may_be_an_expression_is_replaced() {
    let (_, document) = form_of(&json!({
        "Joined": {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":ssm:ap-southeast-2:111122223333:parameter/sst/bank-payments/dev/x"]]},
        "Touching": {"Fn::Join": ["", [{"Ref": "Prefix"}, "dev-bank-payments-x"]]},
        "Nested": {"Fn::Join": ["", [{"Ref": "Prefix"}, {"Fn::Join": ["", ["dev-bank-payments", "/111122223333"]]}]]},
        "Apart": {"Fn::Join": ["/", [{"Ref": "Prefix"}, "dev-bank-payments-x"]]},
        "Sub": {"Fn::Sub": "arn:aws:s3:::${Bucket}/dev-bank-payments-${AWS::StackName}/111122223333"},
        "SubTouching": {"Fn::Sub": "${Bucket}111122223333"},
        "SubOwn": {"Fn::Sub": ["${Stage}/dev-bank-payments", {"Stage": "x-dev-bank-payments"}]},
        "SubVariable": {"Fn::Sub": ["arn:aws:sns:${R}:${A}:alarms", {"A": "111122223333", "R": "ap-southeast-2"}]},
        "Import": {"Fn::ImportValue": "dev-bank-payments-DataStack:Out"},
        "Get": {"Fn::GetAtt": ["dev-bank-payments", "Arn"]},
        "Find": {"Fn::FindInMap": ["Map", "ap-southeast-2", "111122223333"]},
        "If": {"Fn::If": ["111122223333", "111122223333", {"Ref": "AWS::NoValue"}]},
        "Select": {"Fn::Select": ["1", {"Fn::Split": ["-", "dev-bank-payments"]}]}
    }));
    insta::assert_json_snapshot!(document);
}

#[test]
fn conditions_mappings_parameters_and_code_stay() {
    let template = json!({
        "Parameters": {"Account": {"Type": "String", "Default": "111122223333"}},
        "Mappings": {"M": {"111122223333": {"Stage": "dev-bank-payments"}}},
        "Conditions": {"IsDev": {"Fn::Equals": [{"Ref": "AWS::AccountId"}, "111122223333"]}},
        "Resources": {"Fn": {
            "Type": "AWS::Lambda::Function", "Metadata": {"path": "dev-bank-payments"},
            "Properties": {"Description": "of 111122223333", "Code": {"ZipFile": "'dev-bank-payments'"}}
        }},
        "Outputs": {"Name": {"Description": "dev-bank-payments", "Value": "x", "Export": {"Name": "x"}}}
    });
    let form = derive(template.to_string().as_bytes(), &made_for(), "api.json").unwrap();
    let places: Vec<_> = form.mapping.substitutions.iter().map(|it| it.place.as_str()).collect();
    assert_eq!(places, ["/Resources/Fn/Properties/Description"]);
    assert_eq!(form.mapping.declares, Declares::Nothing);
}

#[test]
fn the_parameter_is_declared_where_it_is_needed_and_not_there() {
    let resources = json!({"It": {"Type": "T", "Properties": {"Name": "dev-bank-payments"}}});
    let declares = |parameters: Value| {
        let mut template = json!({"Resources": resources});
        if !parameters.is_null() {
            template["Parameters"] = parameters;
        }
        derive(template.to_string().as_bytes(), &made_for(), "api.json").map(|form| form.mapping.declares)
    };
    assert_eq!(declares(Value::Null), Ok(Declares::Section));
    assert_eq!(declares(json!({})), Ok(Declares::Parameter));
    assert_eq!(declares(json!({"Other": {"Type": "String"}})), Ok(Declares::Parameter));
    assert_eq!(declares(json!({"Stage": {"Type": "String"}})), Ok(Declares::Nothing));
    let refused = declares(json!({"Stage": {"Type": "Number"}})).unwrap_err();
    insta::assert_snapshot!(refused[0].message, @"its parameter `Stage` is not of the type `String`, and a promotion gives it the stage's name: rename it");
}

#[test]
fn numbers_stay_as_they_are_spelt_or_there_is_no_form() {
    let form = |number: &str| {
        let template = format!(
            r#"{{"Resources": {{"It": {{"Type": "T", "Properties": {{"Name": "dev-bank-payments \\\" 1.0", "V": {number}}}}}}}}}"#
        );
        derive(template.as_bytes(), &made_for(), "api.json")
    };
    for same in ["0", "-1", "13.1", "1.0", "12345678901234567890"] {
        assert!(form(same).is_ok_and(|form| String::from_utf8(form.bytes).unwrap().contains(same)), "{same}");
    }
    for other in ["13.10", "1e3", "1E+2", "123456789012345678901234567890", "-0"] {
        assert_eq!(form(other).unwrap_err()[0].code, Code::TemplateFormInvalid, "{other}");
    }
    let refused = form("13.10").unwrap_err();
    insta::assert_snapshot!(refused[0].message, @"its form would have `13.1` for the number `13.10`: write it so, or as a string where it is a version");
}

/// Resolves a form as a stage does, which is what CloudFormation makes of its functions.
fn resolved(form: &Form, values: &[(&str, &str)]) -> Value {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut document: Value = serde_json::from_slice(&form.bytes).unwrap();
    for it in &form.mapping.also {
        document["Parameters"].as_object_mut().unwrap().remove(it);
    }
    for it in &form.mapping.substitutions {
        *document.pointer_mut(&it.place).unwrap() = it.text.resolve(&values).unwrap().into();
    }
    match form.mapping.declares {
        Declares::Nothing => {}
        Declares::Parameter => drop(document["Parameters"].as_object_mut().unwrap().remove(STAGE_PARAMETER)),
        Declares::Section => drop(document.as_object_mut().unwrap().remove("Parameters")),
    }
    document
}

/// Every string in which two documents differ, and every key that only one of them has.
fn differences(one: &Value, other: &Value, at: &str, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys()).collect::<std::collections::BTreeSet<_>>() {
                match (one.get(key), other.get(key)) {
                    (Some(one), Some(other)) => differences(one, other, &format!("{at}/{key}"), found),
                    _ => found.push(format!("{at}: {key}")),
                }
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differences(one, other, &format!("{at}/{index}"), found);
            }
        }
        _ if one == other => {}
        _ => found.push(format!("{at}: {one} | {other}")),
    }
}

/// SST 2.49.8 wrote both from the same sources, `sst build --stage dev` and `--stage uat`.
const STACKS: [(&str, &str, &str); 4] = [
    (
        "ApiStack",
        include_str!("fixtures/sst/dev-bank-payments-ApiStack.template.json"),
        include_str!("fixtures/sst/uat-bank-payments-ApiStack.template.json"),
    ),
    (
        "DataStack",
        include_str!("fixtures/sst/dev-bank-payments-DataStack.template.json"),
        include_str!("fixtures/sst/uat-bank-payments-DataStack.template.json"),
    ),
    (
        "EventsStack",
        include_str!("fixtures/sst/dev-bank-payments-EventsStack.template.json"),
        include_str!("fixtures/sst/uat-bank-payments-EventsStack.template.json"),
    ),
    (
        "JobsStack",
        include_str!("fixtures/sst/dev-bank-payments-JobsStack.template.json"),
        include_str!("fixtures/sst/uat-bank-payments-JobsStack.template.json"),
    ),
];

#[test]
fn the_form_of_what_sst_builds_for_dev_is_what_it_builds_for_uat() {
    let uat = [
        ("AWS::AccountId", "111122223333"),
        ("AWS::Region", "ap-southeast-2"),
        ("Stage", "uat"),
        // Both stages are in one account.
        (BOOTSTRAP_PARAMETER, "sstbootstrap-apsoutheast2-1a2b3c4d5e6f"),
    ];
    let mut counts = Vec::new();
    for (stack, dev, built) in STACKS {
        let form = derive(dev.as_bytes(), &made_for(), "api.json").unwrap();
        let mut found = Vec::new();
        differences(&resolved(&form, &uat), &serde_json::from_str(built).unwrap(), "", &mut found);
        // SST calls each bundle by a hash of its sources and of the stage, and some logical ids hold the stage.
        let is_of_the_stage = |it: &String| {
            it.contains("/Outputs/SSTMetadata/") || it.contains("/Code/S3Key: ") || it.contains("bankpayments")
        };
        assert_eq!(found.iter().filter(|it| !is_of_the_stage(it)).collect::<Vec<_>>(), <[&String; 0]>::default());
        let (root, _) = json::read(&form.bytes).unwrap();
        assert_eq!(places_naming(&root, "dev"), [], "{stack}");
        counts.push(form.mapping.substitutions.len());
    }
    assert_eq!(counts, [54, 18, 35, 21]);
}

#[test]
fn what_sst_builds_is_judged_by_its_form() {
    let synthesis = Synthesis { declared: Some(made_for()), deployed: Some("dev".parse().unwrap()) };
    for (stack, dev, _) in STACKS {
        let (findings, template) = inspect_synthesised(dev.as_bytes(), &synthesis, stack);
        let template = template.unwrap();
        assert_eq!((findings, template.doubts), (Vec::new(), Vec::new()), "{stack}");
        // Its own resource fetches source maps.
        let maps = template.assets.iter().filter(|it| it.resource == "SourcemapUploader").count();
        assert_eq!(maps, template.functions.keys().filter(|it| !it.starts_with("CustomResource")).count(), "{stack}");
        assert!(template.parameters.contains_key(STAGE_PARAMETER));
        let bucket = |function: &TemplateFunction| match &function.code {
            template::Code::AssetBucket { bucket, .. } => bucket.to_string(),
            other => format!("{other:?}"),
        };
        for function in template.functions.values() {
            assert_eq!(bucket(function), "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}");
        }
    }
}

#[test]
fn what_still_names_the_stage_is_told_with_its_place() {
    let template = json!({
        "Description": "of dev", "Metadata": {"of": "dev"},
        "Parameters": {
            "Level": {"Type": "String", "Default": "dev", "AllowedValues": ["dev"]},
            "Stage": {"Type": "String", "Default": "dev"},
        },
        "Mappings": {"Of": {"dev": {"Url": "/bank/dev/url"}, "all": {"Url": "/bank/dev/url"}}},
        "Conditions": {"IsDev": {"Fn::Equals": [{"Ref": "Stage"}, "dev"]}},
        "Resources": {"devTable": {
            "Type": "AWS::Some::dev", "Metadata": {"aws:cdk:path": "dev/x"}, "DependsOn": "dev",
            "Properties": {
                "Name": "/bank/dev/db-url", "Secret": "{{resolve:secretsmanager:bank/dev/key}}", "Description": "dev",
                "Ref": {"Ref": "dev"}, "Word": "developer", "Device": "/dev/xvda1", "Null": "> /dev/null", "Root": "/dev/url",
                "Variables": {"Description": {"dev": "x"}, "MODE": "dev", "URL": "https://DEV.bank.example"},
                "Policy": {"Condition": {"StringEquals": {"aws:ResourceTag/of": "dev"}}}, "Type": "dev"
            }
        }},
        "Outputs": {"Url": {"Description": "dev", "Value": "https://dev.bank.example"}}
    });
    let template = template.to_string();
    let (root, _) = json::read(template.as_bytes()).unwrap();
    let left: Vec<_> = places_naming(&root, "dev").into_iter().map(|it| format!("{}: {}", it.place, it.text)).collect();
    insta::assert_snapshot!(left.join("\n"));
}

/// The findings on a template that declares what it was synthesised for, by their codes.
fn codes(template: &Value, deployed: &str) -> Vec<&'static str> {
    let synthesis = Synthesis { declared: Some(made_for()), deployed: Some(deployed.parse().unwrap()) };
    let (findings, template) = inspect_synthesised(template.to_string().as_bytes(), &synthesis, "api.json");
    let doubts = template.map(|it| it.doubts).unwrap_or_default();
    let codes = findings.iter().map(|it| it.code).chain(doubts.iter().map(|it| it.code));
    codes.map(gatekeeper_model::finding::Code::as_str).collect()
}

fn of_one(r#type: &str, properties: &Value) -> Value {
    json!({"Resources": {"It": {"Type": r#type, "Properties": properties}}})
}

#[test]
fn a_form_excuses_nothing_but_that_dev_is_named() {
    let token = "arn:aws:lambda:ap-southeast-2:111122223333:function:dev-bank-payments-provider";
    let provider = of_one("Custom::Thing", &json!({"ServiceToken": token}));
    assert_eq!(codes(&provider, "dev"), ["template-not-self-contained"]);
    let fetched = json!({"AutoPublish": true, "Name": "it", "FunctionConfig": {"Comment": "", "Runtime": "cloudfront-js-2.0"},
        "FunctionCode": {"Fn::Join": ["", ["{{resolve:ssm:/bank-payments/", "dev/code}}"]]}});
    assert!(codes(&of_one("AWS::CloudFront::Function", &fetched), "dev").contains(&"template-code-outside-store"));
    let plain = of_one("AWS::SQS::Queue", &json!({"QueueName": "dev-bank-payments-queue"}));
    assert_eq!(codes(&plain, "dev"), <[&str; 0]>::default());
    // What was deployed is what was declared.
    assert_eq!(codes(&plain, "test"), ["template-form-invalid"]);
    let both = of_one("AWS::SQS::Queue", &json!({"QueueName": "test-queue"}));
    assert_eq!(codes(&both, "test"), ["template-form-invalid", "template-names-stage"]);
    // An account that can't be told from a longer text is one that is left.
    let touching = of_one("AWS::SQS::Queue", &json!({"QueueName": {"Fn::Sub": "${AWS::StackName}111122223333"}}));
    assert!(codes(&touching, "dev").contains(&"template-not-portable"));
}

#[test]
fn what_a_form_has_no_room_for_is_refused() {
    let refused = |template: Value| derive(template.to_string().as_bytes(), &made_for(), "api.json").unwrap_err();
    let stage = json!({"Resources": {"Stage": {"Type": "T", "Properties": {"Name": "dev-bank-payments"}}}});
    insta::assert_snapshot!(refused(stage)[0].message, @"it has a resource `Stage`, which is the name of the form's parameter: rename it");
    let many = of_one("T", &json!({"k".repeat(100_000): vec!["111122223333"; 200]}));
    insta::assert_snapshot!(refused(many)[0].message, @"its form has more than 20000 substitutions, or too long places");
}

#[test]
fn programs_and_apis_keep_what_they_say() {
    for (name, value) in [
        ("UserData", json!("echo dev-bank-payments")),
        ("FunctionCode", json!({"Fn::Join": ["", ["dev-bank-payments"]]})),
        ("Code", json!("dev-bank-payments")),
        ("Handler", json!("packages/dev-bank-payments/index.handler")),
        ("NODE_ENV", json!("dev")),
    ] {
        let (_, document) = form_of(&json!({name: value}));
        assert_eq!(document[name], value);
    }
    let mapping = of_one("AWS::ApiGatewayV2::ApiMapping", &json!({"Stage": "dev", "ApiId": "x"}));
    let form = derive(mapping.to_string().as_bytes(), &made_for(), "api.json").unwrap();
    assert_eq!(form.mapping.substitutions, []);
}

#[test]
fn a_form_is_ascii_and_reads_the_same() {
    let (form, document) = form_of(&json!({"Name": "dev-bank-payments", "Text": "café – 🙂 \"\n"}));
    assert!(form.bytes.is_ascii());
    assert_eq!(document["Text"], "café – 🙂 \"\n");
}

#[test]
fn whole_words_are_told_in_any_case() {
    let told = |text: &str| has_word(text, "dev");
    for text in
        ["dev", "DEV_PAYMENTS", "usersDev", "devUsers", "/dev/sdk/key", "/dev/random-secret", "x/dev/url", "dev.x"]
    {
        assert!(told(text), "{text}");
    }
    for text in [
        "developer",
        "Device",
        "/dev/null",
        "> /dev/null",
        "/dev/sda1",
        "/dev/xvdf",
        "/dev/nvme1n1",
        "/dev/shm",
        "undev",
        "dev2",
    ] {
        assert!(!told(text), "{text}");
    }
}

#[test]
fn substitutions_are_in_the_documents_order_whatever_that_is() {
    let template = r#"{
        "Outputs": {"B": {"Export": {"Name": "dev-bank-payments-b"}, "Value": "dev-bank-payments"}},
        "Resources": {"A": {"Properties": {"Z": "111122223333", "A": "dev-bank-payments"}, "Type": "T"}},
        "Parameters": {"Other": {"Type": "String"}}
    }"#;
    let form = derive(template.as_bytes(), &made_for(), "api.json").unwrap();
    let places: Vec<_> = form.mapping.substitutions.iter().map(|it| it.place.as_str()).collect();
    assert_eq!(
        places,
        ["/Outputs/B/Export/Name", "/Outputs/B/Value", "/Resources/A/Properties/Z", "/Resources/A/Properties/A"]
    );
}

#[test]
fn a_mapping_that_lies_is_found() {
    let template =
        json!({"Resources": {"It": {"Type": "T", "Properties": {"Name": "dev-bank-payments", "Other": "x"}}}});
    let template = template.to_string();
    let form = derive(template.as_bytes(), &made_for(), "api.json").unwrap();
    let prove = |mapping: &Mapping, form: &[u8]| {
        let mapping = Mapping { form_sha256: Sha256::of(form), ..mapping.clone() };
        mapping.prove(template.as_bytes(), form)
    };
    assert_eq!(prove(&form.mapping, &form.bytes), Ok(()));
    // Another text than the form has, a place that isn't there, and one substitution that isn't told.
    let mut lies = form.mapping.clone();
    lies.substitutions[0].text = Text::literal("dev-bank-payments");
    assert!(prove(&lies, &form.bytes).is_err());
    lies.substitutions[0].place = "/Resources/It/Properties/None".to_owned();
    assert!(prove(&lies, &form.bytes).is_err());
    lies.substitutions.clear();
    assert!(prove(&lies, &form.bytes).is_err());
    // A declaration of more than the parameter.
    let text = String::from_utf8(form.bytes.clone()).unwrap();
    for (from, to) in [
        (r#"{"Stage":{"Type":"String"}}"#, r#"{"Stage":{"Type":"String","Default":"prod"}}"#),
        (r#"{"Stage":{"Type":"String"}}"#, r#"{"Stage":{"Type":"String"},"Evil":{"Type":"String"}}"#),
    ] {
        let more = text.replace(from, to);
        assert_ne!(more, text);
        assert!(prove(&form.mapping, more.as_bytes()).unwrap_err().contains("declares more"));
    }
    // Another account, and a form that says more.
    let mut lies = form.mapping.clone();
    lies.synthesised_for.stage = "prod".parse().unwrap();
    assert!(prove(&lies, &form.bytes).is_err());
    let more = String::from_utf8(form.bytes.clone()).unwrap().replace("\"x\"", "\"y\"");
    assert!(prove(&form.mapping, more.as_bytes()).is_err());
    assert!(form.mapping.prove(template.as_bytes(), more.as_bytes()).is_err());
}
