//! `gatekeeper publish` and `gatekeeper observe`, as CI runs them: `make test-e2e`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

mod handoffs;
mod sam;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use aws_sdk_cloudformation::types::{Capability, Parameter};
use aws_sdk_s3::types::ChecksumMode;
use e2e::{
    commit::{Commit, MODULE, STACK, path, the_template, the_zip},
    instance::Instance,
    registry::Repository,
    watch::{PATIENCE, eventually, tags},
    zips,
};
use gatekeeper_model::{finding::Code, ids::Sha256, store_key::ArtefactPath, verdict::Outcome};
use serde_json::{Value, json};

/// The command beside this test.
fn gatekeeper() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let binary = own.ancestors().nth(2).unwrap().join("gatekeeper");
    assert!(binary.is_file(), "`{}` is not there: run `make test-e2e`", binary.display());
    binary
}

/// Somebody at a shell.
struct Shell {
    variables: Vec<(&'static str, String)>,
}

/// What a run of the command came to.
#[derive(Debug)]
struct Run {
    code: i32,
    /// What it printed with `--output json`.
    report: Value,
    stderr: String,
}

impl Shell {
    /// CI's, which has nothing but the rights of its role.
    async fn of_ci(aws: &Instance) -> Self {
        let sts = aws_sdk_sts::Client::new(&aws.root.config);
        let assumed = sts.assume_role().role_arn(&aws.outputs.ci_role_arn).role_session_name("pipeline");
        let assumed = assumed.send().await.unwrap();
        let got = assumed.credentials().unwrap();
        let mut shell = Self::new(aws, got.access_key_id(), got.secret_access_key());
        shell.variables.push(("AWS_SESSION_TOKEN", got.session_token().to_owned()));
        shell
    }

    /// An administrator's.
    fn of_root(aws: &Instance) -> Self {
        Self::new(aws, &aws.outputs.access_key_id, &aws.outputs.secret_access_key)
    }

    fn new(aws: &Instance, id: &str, secret: &str) -> Self {
        let variables = [
            ("AWS_ACCESS_KEY_ID", id),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", &aws.outputs.region),
            ("AWS_ENDPOINT_URL", &aws.outputs.endpoint),
            ("GATEKEEPER_ARTEFACT_BUCKET", &aws.outputs.artefact_bucket),
            ("GATEKEEPER_RECORDS_BUCKET", &aws.outputs.records_bucket),
        ];
        Self { variables: variables.map(|(name, value)| (name, value.to_owned())).to_vec() }
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(gatekeeper());
        command.env_clear().args(arguments).args(["--output", "json"]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs the command to its end.
    async fn run(&self, arguments: &[&str]) -> Run {
        let child = self.start(arguments);
        let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
        Run {
            code: output.status.code().unwrap(),
            report: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Publishes a folder as a commit.
    async fn publish(&self, commit: &Commit, folder: &Path, arguments: &[&str]) -> Run {
        self.run(&[&publish(commit, folder) as &[_], arguments].concat()).await
    }
}

fn publish<'a>(commit: &'a Commit, folder: &'a Path) -> [&'a str; 6] {
    ["publish", folder.to_str().unwrap(), "--repo", commit.id.repo.as_str(), "--sha", commit.id.sha.as_str()]
}

/// A commit's build folder. Its own manifest says what only the build knows, and no digest.
fn build_folder(commit: &Commit) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in &commit.objects {
        write(&folder, path, bytes);
    }
    let mut manifest = commit.manifest.clone();
    manifest["modules"] = json!([]);
    write(&folder, &ArtefactPath::Manifest, manifest.to_string().as_bytes());
    folder
}

fn write(folder: impl AsRef<Path>, path: &ArtefactPath, bytes: &[u8]) {
    let file = folder.as_ref().join(path.to_string());
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}

/// How many versions of each object of a commit there are, by its place.
async fn versions(aws: &Instance, commit: &Commit) -> BTreeMap<String, usize> {
    let list = aws.root.s3.list_object_versions().bucket(&aws.outputs.artefact_bucket).prefix(commit.id.prefix());
    let mut versions = BTreeMap::new();
    for version in list.send().await.unwrap().versions() {
        *versions.entry(version.key().unwrap().replace(&commit.id.prefix(), "")).or_default() += 1;
    }
    versions
}

fn paths(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_build_folder_is_published_once_and_built() {
    let aws = Instance::get().await;
    let (ci, commit) = (Shell::of_ci(&aws).await, Commit::new(&aws, "publish"));
    let folder = build_folder(&commit);
    let run = ci.publish(&commit, folder.path(), &["--wait=60"]).await;
    assert_eq!((run.code, &run.report["status"]), (0, &json!("published")), "{run:#?}");
    assert_eq!(run.report["verdict"]["outcome"], "built", "{run:#?}");
    let uploaded = paths(&run.report["uploaded"]);
    assert_eq!(uploaded.len(), commit.objects.len() + 1);
    assert_eq!(uploaded.last(), Some(&"build-manifest.json"), "the manifest is last");

    // Each object is what the file is, by a digest that the store itself knows, and has its type.
    for (path, bytes) in &commit.objects {
        let head = aws.root.s3.head_object().bucket(commit.bucket()).key(commit.key(path));
        let head = head.checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
        assert_eq!(head.checksum_sha256(), Some(&*Sha256::of(bytes).to_base64()), "{path}");
        assert_eq!(head.content_type(), Some(path.content_type()), "{path}");
    }
    let verdict = aws.becomes(&commit, Outcome::Built, &[]).await;
    assert_eq!(verdict.manifest_version_id, run.report["manifest_version_id"].as_str().map(Into::into));

    let again = ci.publish(&commit, folder.path(), &["--wait=60"]).await;
    assert_eq!((again.code, &again.report["status"]), (0, &json!("unchanged")), "{again:#?}");
    assert_eq!((paths(&again.report["uploaded"]), &again.report["bytes"]), (vec![], &json!(0)));
    assert_eq!(again.report["manifest_version_id"], run.report["manifest_version_id"]);
    assert!(versions(&aws, &commit).await.values().all(|count| *count == 1));
}

#[tokio::test]
async fn every_upload_is_tagged_as_not_passed_until_the_gate_says_so() {
    let aws = Instance::get().await;
    let (ci, commit) = (Shell::of_ci(&aws).await, Commit::new(&aws, "publish-tags"));
    let mut before = commit.before_integration();
    before["modules"] = json!([]);
    let folder = build_folder(&commit);
    write(&folder, &ArtefactPath::Manifest, before.to_string().as_bytes());
    let run = ci.publish(&commit, folder.path(), &["--wait=60", "--expect", "registered"]).await;
    assert_eq!((run.code, &run.report["verdict"]["outcome"]), (0, &json!("registered")), "{run:#?}");
    for path in commit.objects.keys() {
        let tags = tags(&aws.root, commit.bucket(), &commit.key(path)).await.unwrap();
        assert_eq!(tags.get("integration-passed").map(String::as_str), Some("false"), "{path}");
    }
    // That is no yes for those who expect more.
    let run = ci.publish(&commit, folder.path(), &["--wait=60"]).await;
    assert_eq!((run.code, &run.report["status"]), (1, &json!("unchanged")), "{run:#?}");
    assert!(run.stderr.contains("the integration tests have not run yet"), "{}", run.stderr);

    // After them only the manifest is new.
    let folder = build_folder(&commit);
    let run = ci.publish(&commit, folder.path(), &["--wait=60"]).await;
    assert_eq!((run.code, &run.report["verdict"]["outcome"]), (0, &json!("built")), "{run:#?}");
    assert_eq!(paths(&run.report["uploaded"]), ["build-manifest.json"]);
    assert_eq!(paths(&run.report["skipped"]).len(), commit.objects.len());
}

#[tokio::test]
async fn what_was_interrupted_is_resumed() {
    let aws = Instance::get().await;
    let (ci, mut commit) = (Shell::of_ci(&aws).await, Commit::new(&aws, "publish-resumed"));
    for number in 0..120 {
        let place = path(&format!("modules/{MODULE}/functions/function-{number}.zip"));
        commit.objects.insert(place, zips::large(&format!("{number}"), 1024 * 1024));
    }
    commit.synthesise();
    commit.list();
    let folder = build_folder(&commit);

    let mut child = ci.start(&publish(&commit, folder.path()));
    let some = async || versions(&aws, &commit).await.len();
    eventually("some objects are there", PATIENCE, some, |count| *count > 0).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!versions(&aws, &commit).await.contains_key("build-manifest.json"), "it was interrupted");

    let run = ci.publish(&commit, folder.path(), &["--wait=60"]).await;
    assert_eq!((run.code, &run.report["verdict"]["outcome"]), (0, &json!("built")), "{run:#?}");
    let (uploaded, skipped) = (paths(&run.report["uploaded"]), paths(&run.report["skipped"]));
    assert_eq!(uploaded.len() + skipped.len(), commit.objects.len() + 1);
    assert!(!skipped.is_empty(), "what was there is not uploaded again");
    let versions = versions(&aws, &commit).await;
    assert_eq!(versions.len(), commit.objects.len() + 1);
    assert!(versions.values().all(|count| *count == 1), "{versions:?}");
}

#[tokio::test]
async fn other_bytes_under_a_name_are_uploaded_and_judged() {
    let aws = Instance::get().await;
    let (ci, mut commit) = (Shell::of_ci(&aws).await, Commit::new(&aws, "publish-rebuilt"));
    let folder = build_folder(&commit);
    assert_eq!(ci.publish(&commit, folder.path(), &["--wait=60"]).await.code, 0);

    commit.objects.insert(the_zip(), zips::node("rebuilt"));
    write(&folder, &the_zip(), &commit.objects[&the_zip()]);
    // The tests exercised other bytes than these: that is seen before anything is uploaded.
    let run = ci.publish(&commit, folder.path(), &[]).await;
    assert_eq!((run.code, &run.report["status"]), (1, &json!("refused")), "{run:#?}");
    assert_eq!(run.report["verdict"]["reasons"][0]["code"], Code::TestedBytesMismatch.as_str());
    assert!(versions(&aws, &commit).await.values().all(|count| *count == 1));

    commit.list();
    let folder = build_folder(&commit);
    let run = ci.publish(&commit, folder.path(), &["--wait=60"]).await;
    assert_eq!((run.code, &run.report["verdict"]["outcome"]), (0, &json!("built")), "{run:#?}");
    assert_eq!(paths(&run.report["uploaded"]), [&the_zip().to_string(), "build-manifest.json"]);
}

#[tokio::test]
async fn a_folder_with_anything_else_uploads_nothing() {
    let aws = Instance::get().await;
    let (ci, commit) = (Shell::of_ci(&aws).await, Commit::new(&aws, "publish-layout"));
    let folder = build_folder(&commit);
    fs::write(folder.path().join("modules/MOD-012/notes.txt"), "").unwrap();
    let run = ci.publish(&commit, folder.path(), &[]).await;
    assert_eq!(run.code, 2, "{run:#?}");
    assert!(run.stderr.contains("`modules/MOD-012/notes.txt` is outside the layout"), "{}", run.stderr);
    assert_eq!(versions(&aws, &commit).await, BTreeMap::new());
}

#[tokio::test]
async fn what_the_gate_rejects_is_uploaded_only_on_purpose() {
    let aws = Instance::get().await;
    let (ci, mut commit) = (Shell::of_ci(&aws).await, Commit::new(&aws, "publish-rejected"));
    commit.manifest["tests"]["unit"]["line_coverage"] = json!(79.9);
    let folder = build_folder(&commit);
    let run = ci.publish(&commit, folder.path(), &["--wait=60"]).await;
    assert_eq!((run.code, &run.report["status"]), (1, &json!("refused")), "{run:#?}");
    assert_eq!(versions(&aws, &commit).await, BTreeMap::new());

    // On GitHub Actions the run tells which commit it is, and the reasons are shown on its page.
    let summary = tempfile::NamedTempFile::new().unwrap();
    let mut on_github = ci;
    on_github.variables.extend([
        ("GITHUB_ACTIONS", "true".to_owned()),
        ("GITHUB_REPOSITORY", format!("example-bank/{}", commit.id.repo)),
        ("GITHUB_SHA", commit.id.sha.to_string()),
        ("GITHUB_REF_NAME", "release/2026-05".to_owned()),
        ("GITHUB_SERVER_URL", "https://github.com".to_owned()),
        ("GITHUB_RUN_ID", "123".to_owned()),
        ("GITHUB_RUN_ATTEMPT", "2".to_owned()),
        ("GITHUB_ACTOR", "jane".to_owned()),
        ("GITHUB_STEP_SUMMARY", summary.path().to_str().unwrap().to_owned()),
    ]);
    let directory = folder.path().to_str().unwrap();
    let run = on_github.run(&["publish", directory, "--wait=60", "--even-if-rejected"]).await;
    assert_eq!((run.code, &run.report["verdict"]["outcome"]), (1, &json!("rejected")), "{run:#?}");
    let reason = [(Code::CoverageBelowThreshold, "tests.unit.line_coverage")];
    let verdict = aws.becomes(&commit, Outcome::Rejected, &reason).await;
    // The gate itself said so, on this manifest.
    assert_eq!(verdict.manifest_version_id, run.report["verdict"]["manifest_version_id"].as_str().map(Into::into));
    let annotation = "\n::error title=coverage-below-threshold::tests.unit.line_coverage: 79.9 %25 is below";
    assert!(run.stderr.contains(annotation), "{}", run.stderr);
    let summary = fs::read_to_string(summary.path()).unwrap();
    assert!(summary.starts_with("### rejected\n") && summary.contains("| `coverage-below-threshold` |"), "{summary}");

    let manifest = aws.root.s3.get_object().bucket(commit.bucket()).key(commit.manifest_key()).send().await.unwrap();
    let manifest: Value = serde_json::from_slice(&manifest.body.collect().await.unwrap().to_vec()).unwrap();
    let run = "https://github.com/example-bank/REPO/actions/runs/123".replace("REPO", commit.id.repo.as_str());
    let repository = format!("example-bank/{}", commit.id.repo);
    let wanted = json!({"run_url": run, "run_attempt": 2, "actor": "jane", "repository": repository});
    assert_eq!(manifest["build"], wanted);
    assert_eq!(manifest["branch"], "release/2026-05");
}

#[tokio::test]
async fn what_is_uploaded_in_parts_keeps_the_digest_of_its_whole() {
    let aws = Instance::get().await;
    let (ci, mut commit) = (Shell::of_ci(&aws).await, Commit::new(&aws, "publish-parts"));
    commit.objects.insert(the_zip(), zips::large("parts", 11 * 1024 * 1024));
    commit.list();
    let folder = build_folder(&commit);
    let in_parts = ["--wait=60", "--multipart-above", "5242880"];
    let run = ci.publish(&commit, folder.path(), &in_parts).await;
    assert_eq!((run.code, &run.report["verdict"]["outcome"]), (0, &json!("built")), "{run:#?}");
    let head = aws.root.s3.head_object().bucket(commit.bucket()).key(commit.key(&the_zip()));
    let head = head.send().await.unwrap();
    assert!(head.e_tag().unwrap().trim_matches('"').ends_with("-3"), "{head:?}");

    let again = ci.publish(&commit, folder.path(), &in_parts).await;
    assert_eq!((again.code, &again.report["status"]), (0, &json!("unchanged")), "{again:#?}");
}

/// Deploys a commit's template to dev, as its pipeline does.
async fn deploy(aws: &Instance, commit: &Commit) -> String {
    let client = aws_sdk_cloudformation::Client::new(&aws.root.config);
    let name = format!("{}-dev-{STACK}", commit.id.repo);
    let parameter = |key: &str, value: String| Parameter::builder().parameter_key(key).parameter_value(value).build();
    let template = String::from_utf8(commit.objects[&the_template()].clone()).unwrap();
    let create =
        client.create_stack().stack_name(&name).template_body(template).capabilities(Capability::CapabilityIam);
    let create = create.parameters(parameter("ArtefactBucket", aws.outputs.artefact_bucket.clone()));
    let prefix = commit.id.module_prefix(&MODULE.parse().unwrap());
    create.parameters(parameter("ArtefactPrefix", prefix)).send().await.unwrap();
    let status = async || {
        let stack = client.describe_stacks().stack_name(&name).send().await.unwrap();
        stack.stacks()[0].stack_status().unwrap().as_str().to_owned()
    };
    eventually("the stack is there", Duration::from_mins(1), status, |status| status == "CREATE_COMPLETE").await;
    name
}

#[tokio::test]
async fn what_dev_runs_is_observed_and_published_as_what_was_tested() {
    let aws = Instance::get().await;
    let (ci, commit) = (Shell::of_ci(&aws).await, Commit::new(&aws, "observe"));
    let deployer = Shell::of_root(&aws);
    let folder = build_folder(&commit);
    let mut before = commit.before_integration();
    before["modules"] = json!([]);
    write(&folder, &ArtefactPath::Manifest, before.to_string().as_bytes());
    let run = ci.publish(&commit, folder.path(), &["--wait=60", "--expect", "registered"]).await;
    assert_eq!(run.code, 0, "{run:#?}");

    let written = tempfile::NamedTempFile::new().unwrap();
    let observed = written.path().to_str().unwrap();
    let directory = folder.path().to_str().unwrap();
    let observe = ["observe", directory, "--stage", "dev", "--repo", commit.id.repo.as_str(), "--write", observed];

    // Nothing is deployed yet.
    let run = deployer.run(&observe).await;
    assert_eq!((run.code, &run.report["equal"]), (1, &json!(false)), "{run:#?}");
    assert!(run.report["functions"][0]["problem"].is_string(), "{run:#?}");
    assert!(run.report["stacks"][0]["problem"].is_string(), "{run:#?}");
    let told = || serde_json::from_str::<Value>(&fs::read_to_string(observed).unwrap()).unwrap();
    assert_eq!(told(), json!({"deployed": [], "templates": []}));

    let stack = deploy(&aws, &commit).await;
    let run = deployer.run(&observe).await;
    assert_eq!((run.code, &run.report["equal"]), (0, &json!(true)), "{run:#?}");
    let tested = json!([{"function": "authorise-payment", "code_sha256": Sha256::of(&commit.objects[&the_zip()])}]);
    let templates = json!([{"stack": STACK, "sha256": Sha256::of(&commit.objects[&the_template()])}]);
    let parameter = |name: &str, value: &str| json!({"stack": STACK, "name": name, "value": value});
    let parameters = json!([
        parameter("ArtefactBucket", &aws.outputs.artefact_bucket),
        parameter("ArtefactPrefix", &commit.id.module_prefix(&MODULE.parse().unwrap())),
    ]);
    assert_eq!(told(), json!({"deployed": tested, "templates": templates, "parameters": parameters}));

    // The tests have run: the manifest says on which bytes.
    let mut after = commit.manifest.clone();
    after["modules"] = json!([]);
    after["tests"]["integration"]["deployed"] = json!([]);
    write(&folder, &ArtefactPath::Manifest, after.to_string().as_bytes());
    let run = ci.publish(&commit, folder.path(), &["--wait=60", "--observed", observed]).await;
    assert_eq!((run.code, &run.report["verdict"]["outcome"]), (0, &json!("built")), "{run:#?}");

    // Another template than dev's is none that was tested.
    let another = tempfile::NamedTempFile::new().unwrap();
    let mut rewritten = told();
    rewritten["templates"][0]["sha256"] = json!(Sha256::of(b"rewritten"));
    fs::write(another.path(), rewritten.to_string()).unwrap();
    let run = ci.publish(&commit, folder.path(), &["--observed", another.path().to_str().unwrap()]).await;
    assert_eq!(run.report["verdict"]["reasons"][0]["code"], Code::TestedTemplatesMismatch.as_str(), "{run:#?}");

    let mut renamed = told();
    renamed["parameters"][0]["name"] = json!("Bucket");
    fs::write(another.path(), renamed.to_string()).unwrap();
    let run = ci.publish(&commit, folder.path(), &["--observed", another.path().to_str().unwrap()]).await;
    let reasons = run.report["verdict"]["reasons"].as_array().unwrap();
    let codes: Vec<_> = reasons.iter().map(|it| it["code"].as_str().unwrap()).collect();
    assert_eq!(codes, [Code::TestedTemplatesMismatch.as_str(); 2], "one too many, one missing: {reasons:#?}");

    // Somebody deploys something else by hand.
    let name = deployer.run(&observe).await.report["functions"][0]["live_name"].as_str().unwrap().to_owned();
    let other = zips::node("by hand");
    let code = aws_sdk_lambda::primitives::Blob::new(other.clone());
    aws.root.lambda().update_function_code().function_name(&name).zip_file(code).send().await.unwrap();
    let template = format!("{}-{{stage}}-{{stack}}", commit.id.repo);
    let run = deployer.run(&[&observe as &[_], &["--stack-name", &template]].concat()).await;
    assert_eq!((run.code, &run.report["equal"]), (1, &json!(false)), "{run:#?}");
    assert_eq!(run.report["functions"][0]["live"], json!(Sha256::of(&other)));
    assert_eq!(run.report["functions"][0]["stack_name"], json!(stack));
    // The gate would see it, and so does whoever publishes.
    let run = ci.publish(&commit, folder.path(), &["--observed", observed]).await;
    assert_eq!((run.code, &run.report["status"]), (1, &json!("refused")), "{run:#?}");
    assert_eq!(run.report["verdict"]["reasons"][0]["code"], Code::TestedBytesMismatch.as_str());
}

#[tokio::test]
async fn the_layers_that_dev_has_are_observed_by_their_content() {
    let aws = Instance::get().await;
    let deployer = Shell::of_root(&aws);
    let repo = format!("e2e-layers-{}", ulid::Ulid::generate().to_string().to_lowercase());
    let bytes = zips::node("shared");
    let region = aws_sdk_s3::types::BucketLocationConstraint::from(aws.outputs.region.as_str());
    let region = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(region).build();
    let s3 = &aws.root.s3;
    s3.create_bucket().bucket(&repo).create_bucket_configuration(region).send().await.unwrap();
    s3.put_object().bucket(&repo).key("layer.zip").body(bytes.clone().into()).send().await.unwrap();
    let template = json!({"Resources": {"Shared": {
        "Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": {"S3Bucket": repo, "S3Key": "layer.zip"}},
    }}});
    let client = aws_sdk_cloudformation::Client::new(&aws.root.config);
    let name = format!("{repo}-dev-{STACK}");
    client.create_stack().stack_name(&name).template_body(template.to_string()).send().await.unwrap();
    let status = async || {
        let stack = client.describe_stacks().stack_name(&name).send().await.unwrap();
        stack.stacks()[0].stack_status().unwrap().as_str().to_owned()
    };
    eventually("the stack is there", Duration::from_mins(1), status, |status| status == "CREATE_COMPLETE").await;

    let folder = tempfile::tempdir().unwrap();
    let [manifest, observed] = ["manifest.json", "observed.json"].map(|file| folder.path().join(file));
    let observe = async |sha256: Sha256, stack: &str| {
        let asset = json!({"sha256": sha256, "size": bytes.len(), "kind": "layer", "stack": stack, "key": "layer.zip"});
        let document = json!({"modules": [{"id": MODULE, "assets": [asset]}]});
        fs::write(&manifest, document.to_string()).unwrap();
        let (manifest, observed) = (manifest.to_str().unwrap(), observed.to_str().unwrap());
        let run = ["observe", "--manifest", manifest, "--stage", "dev", "--repo", &repo, "--write", observed];
        deployer.run(&run).await
    };
    let told = || serde_json::from_str::<Value>(&fs::read_to_string(&observed).unwrap()).unwrap();
    let layer = Sha256::of(&bytes);
    let live = json!({"deployed": [], "templates": [], "layers": [{"stack": STACK, "code_sha256": layer}]});

    let run = observe(layer, STACK).await;
    assert_eq!((run.code, told()), (0, live.clone()), "{run:#?}");
    let run = observe(Sha256::of(b"another"), STACK).await;
    assert_eq!((run.code, told()), (1, live), "{run:#?}");
    assert_eq!(run.report["layers"][0]["problem"], format!("the layers of stack `{name}` are `{layer}`"));
    let run = observe(layer, "elsewhere").await;
    assert_eq!((run.code, told()), (1, json!({"deployed": [], "templates": []})), "{run:#?}");
}

#[tokio::test]
async fn the_images_that_dev_runs_are_observed_by_their_digests() {
    let aws = Instance::get().await;
    let deployer = Shell::of_root(&aws);
    let repo = format!("e2e-images-{}", ulid::Ulid::generate().to_string().to_lowercase());
    let functions = Repository::create(&aws.root.config, &repo, false).await;
    let tasks = Repository::create(&aws.root.config, &format!("{repo}/tasks"), true).await;
    let moved = Repository::create(&aws.root.config, &format!("{repo}/moved"), false).await;
    let (first, task) = (functions.put("v1", "first").await, tasks.put("v1", "task").await);
    moved.put("v1", "moved").await;
    let uri = |repository: &str| json!({"Fn::Sub": format!("${{AWS::AccountId}}.dkr.ecr.${{AWS::Region}}.${{AWS::URLSuffix}}/{repository}:v1")});
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ]});
    let containers =
        ["tasks", "moved"].map(|it| json!({"Name": it, "Memory": 128, "Image": uri(&format!("{repo}/{it}"))}));
    let template = json!({"Resources": {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}},
        "Pay": {"Type": "AWS::Lambda::Function", "Properties": {
            "PackageType": "Image", "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Code": {"ImageUri": uri(&repo)},
        }},
        "Task": {"Type": "AWS::ECS::TaskDefinition", "Properties": {"ContainerDefinitions": containers}},
    }})
    .to_string();
    let client = aws_sdk_cloudformation::Client::new(&aws.root.config);
    let name = format!("{repo}-dev-{STACK}");
    client
        .create_stack()
        .stack_name(&name)
        .template_body(&template)
        .capabilities(Capability::CapabilityIam)
        .send()
        .await
        .unwrap();
    let status = async || {
        let stack = client.describe_stacks().stack_name(&name).send().await.unwrap();
        stack.stacks()[0].stack_status().unwrap().as_str().to_owned()
    };
    eventually("the stack is there", Duration::from_mins(1), status, |status| status == "CREATE_COMPLETE").await;
    // The tag is moved after the deploy: the function runs what it was then.
    functions.put("v1", "second").await;

    let folder = tempfile::tempdir().unwrap();
    let [manifest, observed] = ["manifest.json", "observed.json"].map(|file| folder.path().join(file));
    let sha256 = Sha256::of(template.as_bytes());
    let stack = json!({"name": STACK, "sha256": sha256, "size": template.len()});
    fs::write(&manifest, json!({"modules": [{"id": MODULE, "stacks": [stack]}]}).to_string()).unwrap();
    let (manifest, observed) = (manifest.to_str().unwrap(), observed.to_str().unwrap());
    let run = ["observe", "--manifest", manifest, "--stage", "dev", "--repo", &repo, "--write", observed];
    let run = deployer.run(&run).await;
    let told: Value = serde_json::from_str(&fs::read_to_string(observed).unwrap()).unwrap();
    let image = |logical_id: &str, property: &str, digest| json!({"stack": STACK, "logical_id": logical_id, "property": property, "digest": digest});
    let images = json!([image("Pay", "Code.ImageUri", first), image("Task", "ContainerDefinitions[0].Image", task)]);
    let templates = json!([{"stack": STACK, "sha256": sha256}]);
    assert_eq!((run.code, told), (1, json!({"deployed": [], "templates": templates, "images": images})), "{run:#?}");
    let problem = run.report["images"][2]["problem"].as_str().unwrap();
    assert!(problem.starts_with(&format!("the tags of repository `{repo}/moved` may be moved")), "{problem}");
}
