//! What is read of a function: where its code lies and what its bundle must be.

use super::*;

#[test]
fn code_is_inline_in_the_store_or_in_an_asset_bucket_of_the_stage() {
    let read = |code: Value| read_one(&template(json!({"It": function(code)}))).code;
    assert_eq!(read(json!({"ZipFile": "exports.handler = async () => 1"})), Code::Inline);
    assert_eq!(read(json!({"ZipFile": {"Fn::Sub": "const t = '${Table.Arn}'"}})), Code::Inline);
    assert_eq!(
        read(stored("authorise-payment")),
        Code::ArtefactStore { key: Text::reference("ArtefactPrefix").then("/functions/authorise-payment.zip") }
    );
    let Code::AssetBucket { bucket, key } = read(asset("0f")) else { panic!() };
    assert_eq!(bucket.to_string(), "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}");
    assert_eq!(key.as_literal(), Some("0f.zip"));
    // A qualifier, a folder and a name of one's own, a literal region, a parameter.
    for bucket in [
        json!({"Fn::Sub": "cdk-bank1-assets-${AWS::AccountId}-ap-southeast-2"}),
        json!({"Fn::Join": ["-", ["bank-assets", {"Ref": "AWS::AccountId"}, {"Ref": "AWS::Region"}]]}),
        json!({"Ref": "ArtefactPrefix"}),
    ] {
        assert!(matches!(read(json!({"S3Bucket": bucket, "S3Key": "payments/0f.zip"})), Code::AssetBucket { .. }));
    }
}

#[test]
fn code_that_a_promotion_cannot_serve_is_refused() {
    let refuse = |code: Value| check_resource(function(code));
    insta::assert_debug_snapshot!([
        refuse(json!({"ImageUri": {"Fn::Sub": "${AWS::AccountId}.registry.bank.example/x:1"}})),
        refuse(json!({"S3Bucket": "dev-assets-123456789012", "S3Key": "x.zip"})),
        refuse(json!({"S3Bucket": {"Fn::Sub": "assets-${AWS::Region}"}, "S3Key": "x.zip"})),
        refuse(json!({"S3Bucket": {"Fn::Sub": "a-${AWS::AccountId}"}, "S3Key": "x.zip", "S3ObjectVersion": "v1"})),
        refuse(json!({"S3Bucket": {"Fn::ImportValue": "assets"}, "S3Key": "x.zip"})),
        refuse(json!({"S3Bucket": {"Ref": "ArtefactBucket"}, "S3Key": {"Fn::Select": [0, ["a"]]}})),
        refuse(json!({"S3Bucket": {"Ref": "BootstrapVersion"}, "S3Key": "x.zip"})),
        refuse(json!({"S3Bucket": {"Ref": "Table"}, "S3Key": "x.zip"})),
        refuse(json!({"ZipFile": {"Ref": "ArtefactPrefix"}})),
        refuse(json!({"ZipFile": {"Fn::Sub": "${ArtefactPrefix}${ArtefactBucket}"}})),
        refuse(json!({"ZipFile": "{{resolve:ssm:/code}}"})),
        refuse(json!({"ZipFile": "x", "S3Key": "y"})),
        refuse(json!({"S3Key": "x.zip"})),
        refuse(json!({"Fn::If": ["IsDev", {"ZipFile": "x"}, {"ZipFile": "y"}]})),
        refuse(json!("x.zip")),
    ].concat(), @r#"
    [
        "template-code-outside-store: function `It` runs the image `${AWS::AccountId}.registry.bank.example/x:1` that is not named by its digest (`Resources.It.Properties.Code.ImageUri`) and is no tag of a repository of ECR either, so it may be another one than dev tested: write `…@sha256:…`, or `${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/REPOSITORY:TAG`, of which `gatekeeper observe` tells the digest",
        "template-not-portable: the code of function `It` is in the one bucket `dev-assets-123456789012` (`Resources.It.Properties.Code.S3Bucket`): name it by `${AWS::AccountId}` or by a parameter",
        "template-not-portable: the code of function `It` is in the one bucket `assets-${AWS::Region}` (`Resources.It.Properties.Code.S3Bucket`): name it by `${AWS::AccountId}` or by a parameter",
        "template-not-portable: the code of function `It` is pinned by `Resources.It.Properties.Code.S3ObjectVersion`, and a version id exists in one bucket only",
        "template-code-outside-store: where the code of function `It` lies cannot be told: `Resources.It.Properties.Code.S3Bucket` uses `Fn::ImportValue`, but only `Ref`, `Fn::Sub` and `Fn::Join` are understood here",
        "template-code-outside-store: where the code of function `It` lies cannot be told: `Resources.It.Properties.Code.S3Key` uses `Fn::Select`, but only `Ref`, `Fn::Sub` and `Fn::Join` are understood here",
        "template-code-outside-store: where the code of function `It` lies cannot be told: `Resources.It.Properties.Code.S3Bucket` refers to the parameter `BootstrapVersion` of type `AWS::SSM::Parameter::Value<String>`, not `String`",
        "template-code-outside-store: where the code of function `It` lies cannot be told: `Resources.It.Properties.Code.S3Bucket` refers to `Table`, which is not a parameter",
        "template-code-outside-store: the inline code of function `It` is not in the template's own bytes: `Resources.It.Properties.Code.ZipFile` only refers to it",
        "template-code-outside-store: the inline code of function `It` is not in the template's own bytes: `Resources.It.Properties.Code.ZipFile` only refers to it",
        "template-code-outside-store: the inline code of function `It` is not in the template's own bytes: `Resources.It.Properties.Code.ZipFile` only refers to it",
        "template-invalid: function `It` has both `ZipFile` and an S3 object as its `Code`",
        "template-code-outside-store: the `Code` of function `It` is neither inline nor named by `S3Bucket` and `S3Key`",
        "template-code-outside-store: the `Code` of function `It` is neither inline nor named by `S3Bucket` and `S3Key`",
        "template-invalid: function `It` has no `Code` object",
    ]
    "#);
}

#[test]
fn legacy_asset_parameters_are_refused_with_the_way_out() {
    let hash = "0f".repeat(32);
    let version = format!("AssetParameters{hash}S3VersionKey11AAEE22");
    let part = |index: u8| json!({"Fn::Select": [index, {"Fn::Split": ["||", {"Ref": version}]}]});
    let bucket = format!("AssetParameters{hash}S3Bucket33CCDD44");
    let mut legacy = template(
        json!({"It": function(json!({"S3Bucket": {"Ref": bucket}, "S3Key": {"Fn::Join": ["", [part(0), part(1)]]}}))}),
    );
    for name in [bucket, version] {
        legacy["Parameters"][name] = json!({"Type": "String"});
    }
    insta::assert_debug_snapshot!(check(&legacy), @r#"
    [
        "template-code-outside-store: function `It` takes its code by CDK's legacy asset parameters: synthesise with `DefaultStackSynthesizer`",
    ]
    "#);
}

#[test]
fn the_bundles_runtime_handler_and_architecture_are_told() {
    let mut it = function(stored("a"));
    let read = |it: &Value| {
        let mut template = template(json!({"It": it}));
        template["Parameters"]["Cpu"] = json!({"Type": "String", "Default": "arm64"});
        template["Mappings"] =
            json!({"Node": {"ap-southeast-2": {"value": "nodejs22.x"}, "us-gov-west-1": {"value": "nodejs20.x"}}});
        let spec = read_one(&template).spec;
        (spec.runtime, spec.handler, spec.architecture)
    };
    let node = |handler: &str, architecture| ("nodejs22.x".to_owned(), Some(handler.to_owned()), architecture);
    assert_eq!(read(&it), node("index.handler", Architecture::X86_64));
    it["Properties"]["Architectures"] = json!(["arm64"]);
    assert_eq!(read(&it), node("index.handler", Architecture::Arm64));
    it["Properties"]["Architectures"] = json!([{"Ref": "Cpu"}]);
    assert_eq!(read(&it), node("index.handler", Architecture::Arm64));
    it["Properties"]["Handler"] = json!({"Fn::Join": [".", ["index", "main"]]});
    it["Properties"]["Runtime"] = json!({"Fn::FindInMap": ["Node", {"Ref": "AWS::Region"}, "value"]});
    assert_eq!(read(&it), node("index.main", Architecture::Arm64));
    it["Properties"]["Runtime"] = json!("provided.al2023");
    it["Properties"].as_object_mut().unwrap().remove("Handler");
    assert_eq!(read(&it), ("provided.al2023".to_owned(), None, Architecture::Arm64));
}

#[test]
fn what_cannot_be_told_of_a_bundle_is_a_finding() {
    let mut it = function(stored("a"));
    it["Properties"]["Runtime"] = json!({"Fn::ImportValue": "runtime"});
    it["Properties"]["Handler"] = json!({"Ref": "ArtefactPrefix"});
    it["Properties"]["Architectures"] = json!(["riscv"]);
    let mut bare = function(stored("b"));
    bare["Properties"].as_object_mut().unwrap().remove("Runtime");
    insta::assert_debug_snapshot!(check(&template(json!({"It": it, "Bare": bare}))), @r#"
    [
        "template-invalid: function `Bare` has no `Runtime`",
        "template-not-self-contained: the `Runtime` of function `It` cannot be told from the template, so its bundle cannot be held against it",
        "template-not-self-contained: the `Handler` of function `It` cannot be told from the template, so its bundle cannot be held against it",
        "template-invalid: function `It` has the unknown architecture `riscv`",
    ]
    "#);
    // Inline code has no bundle to hold against it.
    let mut inline = function(json!({"ZipFile": "x"}));
    inline["Properties"]["Runtime"] = json!({"Fn::ImportValue": "runtime"});
    assert_eq!(check_resource(inline), [""; 0]);
}

#[test]
fn an_image_is_taken_by_its_digest_or_by_a_tag_of_ecr() {
    let digest = format!("@sha256:{}", "0f".repeat(32));
    let of = |image: &str| {
        let code = json!({"ImageUri": {"Fn::Sub": format!("${{AWS::AccountId}}.dkr.ecr.${{AWS::Region}}.amazonaws.com/{image}")}});
        let mut it = function(code);
        it["Properties"] = json!({"Role": "x", "PackageType": "Image", "Code": it["Properties"]["Code"]});
        it
    };
    assert_eq!(read_one(&template(json!({"It": of(&format!("pay{digest}"))}))).code, Code::Image);
    assert_eq!(read_one(&template(json!({"It": of("pay:1")}))).code, Code::Image);
    for refused in ["pay", "pay:", ":1", &digest[..40], "pay:1@sha256:0f"] {
        assert_eq!(check_resource(of(refused)).len(), 1, "{refused}");
    }
    let none =
        json!({"Type": "AWS::Lambda::Function", "Properties": {"Role": "x", "PackageType": "Image", "Code": {}}});
    assert_eq!(check_resource(none).len(), 1);
}

#[test]
fn lambda_runs_a_copy_of_the_bundle_on_a_runtime_of_its_own() {
    let with = |key: &str, value: Value| {
        let mut it = function(stored("authorise-payment"));
        it["Properties"][key] = value;
        it
    };
    let mut referenced = function(stored("authorise-payment"));
    referenced["Properties"]["Code"]["S3ObjectStorageMode"] = json!("REFERENCE");
    let mut copied = referenced.clone();
    copied["Properties"]["Code"]["S3ObjectStorageMode"] = json!("COPY");
    assert_eq!(check_resource(copied), [""; 0]);
    let said = [referenced, with("Runtime", json!("custom")), with("RuntimeConfig", json!({"RuntimeArn": "x"}))];
    insta::assert_json_snapshot!(said.into_iter().flat_map(check_resource).collect::<Vec<_>>());
}
