//! The asset bucket as S3 answers, and where templates look for their code.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use gatekeeper_aws::{
    scripted,
    scripted::{Answer, Request},
};
use serde_json::json;

use super::*;

const ACCOUNT: &str = "111122223333";

/// The calls that an S3 got, and its objects, by key: their bytes, and whether it tells their digest.
#[derive(Debug, Default)]
struct S3 {
    calls: Vec<String>,
    objects: BTreeMap<String, (Vec<u8>, bool)>,
    /// What is answered to a write instead.
    to_puts: Vec<Answer>,
    headers: Vec<BTreeMap<String, String>>,
    /// What is answered to a look at the bucket.
    bucket: Option<Answer>,
}

impl S3 {
    fn answer(&mut self, request: &Request) -> Answer {
        let path = request.path.split('?').next().unwrap_or_default().trim_end_matches('/');
        let key = path.rsplit('/').next().unwrap_or_default().to_owned();
        let shown = if key.is_empty() { "bucket" } else { key.as_str() };
        self.calls.push(format!("{} {shown}", request.method));
        self.headers.push(request.headers.clone());
        let error = |status, code: &str| {
            let body = format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>");
            Answer::Http { status, error: None, headers: Vec::new(), body }
        };
        match (request.method.as_str(), self.objects.get(&key)) {
            ("HEAD", _) if key.is_empty() => self.bucket.clone().unwrap_or_else(|| Answer::xml("")),
            ("HEAD" | "GET", None) => error(404, "NoSuchKey"),
            ("HEAD", Some((bytes, told))) => {
                let sha256 = Sha256::of(bytes).to_base64();
                let mut headers = vec![("x-amz-checksum-type", "FULL_OBJECT".to_owned())];
                headers.extend(told.then_some(("x-amz-checksum-sha256", sha256)));
                Answer::Http { status: 200, error: None, headers, body: String::new() }
            }
            ("GET", Some((bytes, _))) => Answer::xml(String::from_utf8_lossy(bytes)),
            ("PUT", there) => match self.to_puts.pop() {
                Some(answer) => answer,
                None if there.is_some() => error(412, "PreconditionFailed"),
                None => Answer::xml(""),
            },
            _ => error(400, "Unexpected"),
        }
    }
}

/// A ZIP of these bytes for the key of this name.
fn asset(folder: &Path, name: &str, bytes: &str) -> Asset {
    let file = folder.join(name);
    std::fs::write(&file, bytes).unwrap();
    Asset {
        functions: vec![name.parse().unwrap()],
        stacks: BTreeSet::new(),
        bucket: "assets".to_owned(),
        key: format!("{name}.zip"),
        sha256: Sha256::of(bytes.as_bytes()),
        size: bytes.len() as u64,
        file,
    }
}

/// What becomes of two ZIPs, `pay` and `sweep`; the calls come sorted, because they are made at once.
async fn staged(s3: S3, dry_run: bool) -> (Result<Vec<Staged>, String>, Vec<String>, S3) {
    let folder = tempfile::tempdir().unwrap();
    let assets = vec![asset(folder.path(), "pay", "pay"), asset(folder.path(), "sweep", "sweep")];
    let s3 = Arc::new(Mutex::new(s3));
    let inside = Arc::clone(&s3);
    let config = scripted::config(move |request| inside.lock().unwrap().answer(&request));
    let result = stage(&AssetBucket::new(&config, ACCOUNT), assets, dry_run).await;
    let mut s3 = std::mem::take(&mut *s3.lock().unwrap());
    let result = result.map_err(|error| {
        let text = gatekeeper_model::telemetry::chain(error.as_ref()).replace(folder.path().to_str().unwrap(), "DIR");
        format!("exit {}: {text}", crate::exit::code(&Err(error)))
    });
    let mut calls = std::mem::take(&mut s3.calls);
    calls.sort();
    (result, calls, s3)
}

fn with(objects: &[(&str, &str, bool)]) -> S3 {
    let objects = objects.iter().map(|(key, bytes, told)| ((*key).to_owned(), (bytes.as_bytes().to_vec(), *told)));
    S3 { objects: objects.collect(), ..S3::default() }
}

fn statuses(result: &Result<Vec<Staged>, String>) -> Vec<Status> {
    result.as_ref().unwrap().iter().map(|it| it.status).collect()
}

#[tokio::test]
async fn what_is_missing_is_created_and_nothing_else() {
    let (result, calls, s3) = staged(with(&[("pay.zip", "pay", true)]), false).await;
    assert_eq!(statuses(&result), [Status::Present, Status::Staged]);
    assert_eq!(calls, ["HEAD bucket", "HEAD pay.zip", "HEAD sweep.zip", "PUT sweep.zip"]);
    let put = s3.headers.last().unwrap();
    let header = |name: &str| put.get(name).map(String::as_str);
    assert_eq!(header("if-none-match"), Some("*"));
    assert_eq!(header("x-amz-checksum-sha256"), Some(Sha256::of(b"sweep").to_base64().as_str()));
    for headers in &s3.headers {
        assert_eq!(headers.get("x-amz-expected-bucket-owner").map(String::as_str), Some(ACCOUNT));
    }
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let (result, calls, _) = staged(S3::default(), true).await;
    assert_eq!(statuses(&result), [Status::Planned, Status::Planned]);
    assert!(calls.iter().all(|it| it.starts_with("HEAD")), "{calls:?}");
}

#[tokio::test]
async fn where_one_key_has_other_bytes_no_key_is_written() {
    let (result, calls, _) = staged(with(&[("pay.zip", "other", true)]), false).await;
    assert_eq!(statuses(&result), [Status::Differs, Status::Planned]);
    assert!(calls.iter().all(|it| it.starts_with("HEAD")), "{calls:?}");
    let report = Report {
        account: ACCOUNT.parse().unwrap(),
        region: "ap-southeast-2".parse().unwrap(),
        assets: result.unwrap(),
        in_the_store: Vec::new(),
    };
    let shown = anstream::adapter::strip_str(&text(&report)).to_string();
    let shown =
        shown.replace(&Sha256::of(b"pay").to_string(), "STORED").replace(&Sha256::of(b"other").to_string(), "OTHER");
    insta::assert_json_snapshot!(report);
    insta::assert_snapshot!(shown.replace(&Sha256::of(b"sweep").to_string(), "SWEEP"), @r#"
    differs  pay    STORED  s3://assets/pay.zip
                    OTHER  is there
    planned  sweep  SWEEP  s3://assets/sweep.zip
    1 of 2 keys of account 111122223333 have other bytes, and nothing was written: such an object is of an earlier build of the same files with other permissions; delete it (`aws s3 rm s3://BUCKET/KEY`), or change the source, so that its key is another
    "#);
}

#[tokio::test]
async fn an_object_without_a_digest_is_read() {
    let there = with(&[("pay.zip", "pay", false), ("sweep.zip", "other", false)]);
    let (result, calls, _) = staged(there, false).await;
    assert_eq!(statuses(&result), [Status::Present, Status::Differs]);
    assert_eq!(calls, ["GET pay.zip", "GET sweep.zip", "HEAD bucket", "HEAD pay.zip", "HEAD sweep.zip"]);
}

#[tokio::test]
async fn what_somebody_else_wrote_meanwhile_is_looked_at() {
    let error = |code: &str| Answer::Http {
        status: 412,
        error: None,
        headers: Vec::new(),
        body: format!("<Error><Code>{code}</Code></Error>"),
    };
    let s3 = S3 { to_puts: vec![error("PreconditionFailed")], ..with(&[("pay.zip", "pay", true)]) };
    let (result, ..) = staged(s3, false).await;
    insta::assert_snapshot!(result.unwrap_err(), @"exit 3: somebody else writes `s3://assets/sweep.zip` just now: run it again");
}

#[tokio::test]
async fn what_s3_refuses_is_told_in_its_words() {
    let denied = Answer::Http {
        status: 403,
        error: None,
        headers: Vec::new(),
        body: "<Error><Code>AccessDenied</Code><Message>so it is</Message></Error>".to_owned(),
    };
    let s3 = S3 { to_puts: vec![denied.clone(), denied], ..with(&[("pay.zip", "pay", true)]) };
    let (result, ..) = staged(s3, false).await;
    insta::assert_snapshot!(result.unwrap_err(), @"exit 3: `s3://assets/sweep.zip` was not written; run it again to go on: PutObject failed: AccessDenied: so it is");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_or_not_the_accounts_is_told() {
    let answer = |status| Answer::Http { status, error: None, headers: Vec::new(), body: String::new() };
    let (result, calls, _) = staged(S3 { bucket: Some(answer(404)), ..S3::default() }, false).await;
    insta::assert_snapshot!(result.unwrap_err(), @"exit 3: the asset bucket `assets` is not there: run `cdk bootstrap` in account 111122223333");
    assert_eq!(calls, ["HEAD bucket"]);
    let (result, ..) = staged(S3 { bucket: Some(answer(403)), ..S3::default() }, false).await;
    assert!(result.unwrap_err().contains("is not of account 111122223333, or may not be looked at"));
}

/// A build of one function, whose template says that its code is there.
struct Folder {
    root: tempfile::TempDir,
    synthesised_for: bool,
}

impl Folder {
    fn of(code: &Value, synthesised_for: bool) -> Self {
        let folder = Self { root: tempfile::tempdir().unwrap(), synthesised_for };
        let template = json!({"Parameters": {"Kind": {"Type": "String"}}, "Resources": {"PayFn": {
            "Type": "AWS::Lambda::Function",
            "Properties": {"Runtime": "nodejs22.x", "Handler": "index.handler", "Code": code}
        }}});
        let mut manifest = json!({"modules": [{"id": "MOD-012", "stacks": [{"name": "Api"}], "functions": [
            {"name": "Api-PayFn", "stack": "Api", "logical_id": "PayFn"}
        ]}]});
        if synthesised_for {
            manifest["synthesised_for"] = json!({
                "account": ACCOUNT, "region": "ap-southeast-2", "stage": "dev", "application": "bank"
            });
        }
        for (path, text) in [
            ("modules/MOD-012/cloudformation/Api.json", template.to_string()),
            ("modules/MOD-012/functions/Api-PayFn.zip", "zip".to_owned()),
            ("build-manifest.json", manifest.to_string()),
        ] {
            let path = folder.root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    /// Where its ZIP belongs, for a caller of this account and region.
    async fn place(&self, account: &str, region: &str) -> String {
        let files = build_folder::measure(build_folder::walk(self.root.path()).unwrap(), |_| {}).await.unwrap();
        let build = read(self.root.path(), &files).unwrap();
        assert_eq!(build.synthesised_for.is_some(), self.synthesised_for);
        let arn = format!("arn:aws:sts::{account}:assumed-role/dev/jane");
        let caller = Caller::of(Some(account), Some(&arn), region.parse().unwrap()).unwrap();
        match place::assets(&build, &files, &caller) {
            Ok((assets, in_the_store)) => {
                let places = assets.iter().map(|it| format!("s3://{}/{}", it.bucket, it.key));
                places.chain(in_the_store.iter().map(|it| format!("store {it}"))).collect()
            }
            Err(error) => error.to_string(),
        }
    }
}

#[tokio::test]
async fn a_template_says_where_its_code_belongs() {
    let key = "1f.zip";
    let agnostic =
        json!({"S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}, "S3Key": key});
    let place = Folder::of(&agnostic, false).place("444455556666", "eu-west-1").await;
    assert_eq!(place, "s3://cdk-hnb659fds-assets-444455556666-eu-west-1/1f.zip");
    let literal = json!({"S3Bucket": format!("cdk-hnb659fds-assets-{ACCOUNT}-ap-southeast-2"), "S3Key": key});
    let place = Folder::of(&literal, true).place(ACCOUNT, "ap-southeast-2").await;
    assert_eq!(place, format!("s3://cdk-hnb659fds-assets-{ACCOUNT}-ap-southeast-2/1f.zip"));
    let stored = json!({"S3Bucket": {"Ref": "ArtefactBucket"}, "S3Key": "pay.zip"});
    // `ArtefactBucket` is no parameter of this template, so nothing is known of it.
    let unknown = Folder::of(&stored, false).place(ACCOUNT, "ap-southeast-2").await;
    insta::assert_snapshot!(unknown, @r#"
    nothing was written: where the files belong can't be told
      where `PayFn` of stack `Api` has its code can't be told: `gatekeeper check` says why; templates that name an account need `synthesised_for` in `build-manifest.json`
    "#);
}

#[tokio::test]
async fn a_place_that_is_not_the_callers_is_refused() {
    let literal = json!({"S3Bucket": format!("cdk-hnb659fds-assets-{ACCOUNT}-ap-southeast-2"), "S3Key": "1f.zip"});
    let declared = Folder::of(&literal, true);
    insta::assert_snapshot!(declared.place("444455556666", "ap-southeast-2").await, @"the templates are synthesised for account 111122223333, and the credentials are of 444455556666: pass `--profile` with one of that account");
    insta::assert_snapshot!(declared.place(ACCOUNT, "eu-west-1").await, @"the templates are synthesised for ap-southeast-2, not for eu-west-1: pass `--region ap-southeast-2`");
    insta::assert_snapshot!(Folder::of(&literal, false).place(ACCOUNT, "ap-southeast-2").await, @r#"
    nothing was written: where the files belong can't be told
      where `PayFn` of stack `Api` has its code can't be told: `gatekeeper check` says why; templates that name an account need `synthesised_for` in `build-manifest.json`
    "#);
    let parameter = json!({"S3Bucket": {"Fn::Sub": "assets-${Kind}-${AWS::AccountId}"}, "S3Key": "1f.zip"});
    insta::assert_snapshot!(Folder::of(&parameter, false).place(ACCOUNT, "ap-southeast-2").await, @r#"
    nothing was written: where the files belong can't be told
      where `PayFn` of stack `Api` has its code can't be told: it depends on `Kind`, which has no default
    "#);
}

#[tokio::test]
async fn assets_lie_beside_the_code_and_a_nested_stacks_code_is_found() {
    let bucket = json!({"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"});
    let code = json!({"S3Bucket": bucket, "S3Key": "1f.zip"});
    let folder = Folder::of(&code, false);
    let root = folder.root.path().join("modules/MOD-012");
    let inner = json!({"Resources": {"InnerFn": {"Type": "AWS::Lambda::Function", "Properties": {
        "Runtime": "nodejs22.x", "Handler": "index.handler", "Code": code}}}});
    let url =
        "https://s3.${AWS::Region}.${AWS::URLSuffix}/cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}/inner.json";
    let outer = json!({"Resources": {
        "Inner": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": {"Fn::Sub": url}}},
        "Layer": {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": {"S3Bucket": bucket, "S3Key": "layer.zip"}}}
    }});
    let (inner, outer) = (inner.to_string(), outer.to_string());
    let entry = |bytes: &str, kind: &str, key: &str| json!({"sha256": Sha256::of(bytes.as_bytes()), "kind": kind, "stack": "Api", "key": key});
    let manifest = json!({"modules": [{"id": "MOD-012", "stacks": [{"name": "Api"}],
        "functions": [{"name": "Api-InnerFn", "stack": "Api", "logical_id": "Inner/InnerFn"}],
        "assets": [entry(&inner, "template", "inner.json"), entry("layer", "layer", "layer.zip")]}]});
    std::fs::create_dir_all(root.join("assets")).unwrap();
    std::fs::rename(root.join("functions/Api-PayFn.zip"), root.join("functions/Api-InnerFn.zip")).unwrap();
    for (path, text) in [
        (root.join("cloudformation/Api.json"), outer),
        (root.join(format!("assets/{}.json", Sha256::of(inner.as_bytes()))), inner),
        (root.join(format!("assets/{}.zip", Sha256::of(b"layer"))), "layer".to_owned()),
        (folder.root.path().join("build-manifest.json"), manifest.to_string()),
    ] {
        std::fs::write(path, text).unwrap();
    }
    let place = folder.place(ACCOUNT, "ap-southeast-2").await;
    let assets = format!("s3://cdk-hnb659fds-assets-{ACCOUNT}-ap-southeast-2");
    assert_eq!(place, format!("{assets}/inner.json{assets}/layer.zip{assets}/1f.zip"));
    // A file that is not what its name says was changed.
    std::fs::write(root.join(format!("assets/{}.zip", Sha256::of(b"layer"))), "other").unwrap();
    let files = build_folder::measure(build_folder::walk(folder.root.path()).unwrap(), |_| {}).await.unwrap();
    let refused = read(folder.root.path(), &files).unwrap_err().to_string();
    assert!(refused.contains("which is not its name: build it again"), "{refused}");
}
