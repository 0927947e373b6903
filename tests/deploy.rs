//! `gatekeeper deploy --stage dev`, as CI runs it: with the rights of dev's role in an account of its own, and nothing else.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output, Stdio},
};

use e2e::{
    commit::{Commit, STACK, the_template, the_zip},
    instance::Caller,
    promotion::{
        DEV_ACCOUNT, OTHER_ACCOUNT, Promotions, STAGE, a_commit, a_repo, break_template, change_template,
        synthesise_for_dev,
    },
    watch::{PATIENCE, eventually},
    zips,
};
use gatekeeper_model::{
    ids::Sha256,
    verdict::{Outcome, Verdict},
};
use serde_json::{Value, json};

/// How dev's stacks are called.
const STACK_NAME: &str = "{repo}-{stage}-{stack}";

/// What a run of the command came to.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    report: Value,
    stderr: String,
}

/// Dev, which is in the account that one of the stages is in too.
struct Dev {
    here: Promotions,
    /// The role that deploys to it.
    role: Caller,
    account: String,
}

impl Dev {
    async fn get() -> Self {
        let here = Promotions::get().await;
        let arn = &here.aws.outputs.stage_role_arn;
        let (role, account) = (here.aws.assume(arn, "pipeline").await, arn.split(':').nth(4).unwrap().to_owned());
        Self { here, role, account }
    }

    async fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.here.aws.command(&self.role).await;
        command.args(arguments).args(["--output", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Run {
        let output = output_of(self.command(arguments).await).await;
        Run {
            code: output.status.code(),
            report: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Deploys a commit; `more` are further arguments.
    async fn deploy(&self, commit: &Commit, more: &[&str]) -> Run {
        self.run(&[&deploy(commit) as &[_], &["--stage", "dev", "--stack-name", STACK_NAME], more].concat()).await
    }

    /// Deploys a commit, which must succeed; gives what became of its stack and of its function.
    async fn deployed(&self, commit: &Commit, more: &[&str]) -> (String, String) {
        let run = self.deploy(commit, more).await;
        assert_eq!((run.code, &run.report["status"]), (Some(0), &json!("deployed")), "{run:#?}");
        let status = |list: &str| run.report[list][0]["status"].as_str().unwrap().to_owned();
        (status("stacks"), status("functions"))
    }

    /// What `gatekeeper observe` finds in dev, which must be the stored commit; gives what it writes.
    async fn observed(&self, commit: &Commit) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let [manifest, observed] = ["manifest.json", "observed.json"].map(|file| folder.path().join(file));
        std::fs::write(&manifest, commit.manifest.to_string()).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (manifest, written, repo) = (text(&manifest), text(&observed), commit.id.repo.to_string());
        let of = ["observe", "--manifest", &manifest, "--repo", &repo, "--stage", "dev", "--stack-name", STACK_NAME];
        let run = self.run(&[&of as &[_], &["--write", &written]].concat()).await;
        assert_eq!((run.code, &run.report["equal"]), (Some(0), &json!(true)), "{run:#?}");
        serde_json::from_slice(&std::fs::read(observed).unwrap()).unwrap()
    }

    /// Uploads a commit as before its integration tests.
    async fn registered(&self, commit: Commit) -> Commit {
        self.here.registered(&commit).await;
        commit
    }

    async fn stack_status(&self, name: &str) -> Option<String> {
        let stacks = self.role.cloudformation().describe_stacks().stack_name(name).send().await.ok()?;
        Some(stacks.stacks()[0].stack_status()?.as_str().to_owned())
    }

    /// A commit's function in dev: its code, its environment and its published versions.
    async fn function(&self, commit: &Commit) -> (Sha256, BTreeMap<String, String>, usize) {
        let name = stack_of(commit);
        let listed = self.role.cloudformation().list_stack_resources().stack_name(name).send().await.unwrap();
        let is_function = |kind: Option<&str>| kind == Some("AWS::Lambda::Function");
        let function = listed.stack_resource_summaries().iter().find(|it| is_function(it.resource_type()));
        let name = function.unwrap().physical_resource_id().unwrap();
        let lambda = self.role.lambda();
        let live = lambda.get_function_configuration().function_name(name).send().await.unwrap();
        let versions = lambda.list_versions_by_function().function_name(name).send().await.unwrap();
        let environment = live.environment().and_then(|it| it.variables()).cloned().unwrap_or_default();
        let code = Sha256::from_base64(live.code_sha256().unwrap()).unwrap();
        (code, environment.into_iter().collect(), versions.versions().len() - 1)
    }
}

async fn output_of(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

fn deploy(commit: &Commit) -> [&str; 5] {
    ["deploy", "--repo", commit.id.repo.as_str(), "--sha", commit.id.sha.as_str()]
}

fn stack_of(commit: &Commit) -> String {
    format!("{}-dev-{STACK}", commit.id.repo)
}

/// A commit of a repository of its own.
fn fresh(dev: &Dev, name: &str) -> Commit {
    a_commit(&dev.here.aws, &a_repo(name), 200)
}

#[tokio::test]
async fn dev_gets_the_stored_commit_which_is_observed_built_and_promoted() {
    let dev = Dev::get().await;
    let mut commit = dev.registered(fresh(&dev, "deployed")).await;
    assert_eq!(dev.deployed(&commit, &[]).await, ("applied".to_owned(), "unchanged".to_owned()));
    let (code, environment, versions) = dev.function(&commit).await;
    assert_eq!((code, versions), (Sha256::of(&commit.objects[&the_zip()]), 0));
    assert_eq!((environment["STAGE"].as_str(), environment["LOG_LEVEL"].as_str()), ("dev", "none"));
    assert_eq!(environment["COMMIT_SHA"], commit.id.sha.as_str());
    // Run twice it changes nothing.
    assert_eq!(dev.deployed(&commit, &[]).await, ("unchanged".to_owned(), "unchanged".to_owned()));

    // Another value is a change of the stack, and `observe` tells it.
    assert_eq!(dev.deployed(&commit, &["--parameter", "LogLevel=debug"]).await.0, "applied");
    let observed = dev.observed(&commit).await;
    let level = json!({"stack": STACK, "name": "LogLevel", "value": "debug"});
    assert!(observed["parameters"].as_array().unwrap().contains(&level), "{observed}");
    let tests = commit.manifest["tests"]["integration"].as_object_mut().unwrap();
    tests.extend(observed.as_object().unwrap().clone());
    let commit = dev.here.built(commit).await;
    // What is Built may be deployed again, and nothing changes.
    assert_eq!(dev.deployed(&commit, &["--parameter", "LogLevel=debug"]).await.0, "unchanged");

    let record = dev.here.promoted(&commit, STAGE).await;
    assert!(record.live[0].is_promoted_code);
    let auditor = dev.here.aws.auditor().await;
    let mut command = dev.here.aws.command(&auditor).await;
    command.args(["evidence", "--stage", STAGE, "--repo", commit.id.repo.as_str(), "--output", "json"]);
    let evidence: Value = serde_json::from_slice(&output_of(command).await.stdout).unwrap();
    let differing = json!([{"name": "LogLevel", "tested": "debug", "stage": "info"}]);
    assert!(evidence.to_string().contains(&differing.to_string()), "{evidence:#}");
}

#[tokio::test]
async fn the_next_commit_updates_the_stack_and_the_one_before_brings_it_back() {
    let dev = Dev::get().await;
    let first = dev.registered(fresh(&dev, "updated")).await;
    let second = dev.registered(a_commit(&dev.here.aws, &first.id.repo, 201)).await;
    for commit in [&first, &second, &first] {
        assert_eq!(dev.deployed(commit, &[]).await.0, "applied");
        assert_eq!(dev.function(commit).await.0, Sha256::of(&commit.objects[&the_zip()]));
        dev.observed(commit).await;
    }
    // Code that somebody put there by hand is no change to CloudFormation.
    let name = dev.role.cloudformation().list_stack_resources().stack_name(stack_of(&first)).send().await.unwrap();
    let function =
        name.stack_resource_summaries().iter().find(|it| it.resource_type() == Some("AWS::Lambda::Function"));
    let name = function.unwrap().physical_resource_id().unwrap().to_owned();
    let by_hand = zips::of(&[("index.js", b"exports.handler = async () => 'by hand';\n")]);
    let update = dev.role.lambda().update_function_code().function_name(name).zip_file(by_hand.into());
    update.send().await.unwrap();
    assert_eq!(dev.deployed(&first, &[]).await, ("unchanged".to_owned(), "applied".to_owned()));
    dev.observed(&first).await;
}

#[tokio::test]
async fn a_stack_that_fails_is_told_with_cloudformations_own_reasons() {
    let dev = Dev::get().await;
    let mut broken = fresh(&dev, "fails");
    break_template(&mut broken);
    let broken = dev.registered(broken).await;
    for _ in 0..2 {
        let run = dev.deploy(&broken, &[]).await;
        assert_eq!((run.code, &run.report["status"]), (Some(1), &json!("failed")), "{run:#?}");
        let detail = run.report["stacks"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("`Policy` (AWS::IAM::Policy)") && detail.contains("no-such-role"), "{detail}");
        assert_eq!(run.report["functions"], json!([]), "{run:#?}");
        assert!(run.stderr.contains("failed ApplyStack"), "{}", run.stderr);
    }
    assert_eq!(dev.stack_status(&stack_of(&broken)).await.as_deref(), Some("ROLLBACK_COMPLETE"));
    let mended = dev.registered(a_commit(&dev.here.aws, &broken.id.repo, 200)).await;
    assert_eq!(dev.deployed(&mended, &[]).await.0, "applied");
}

#[tokio::test]
async fn a_deploy_that_was_killed_is_finished_by_running_it_again() {
    let dev = Dev::get().await;
    let commit = dev.registered(fresh(&dev, "killed")).await;
    let arguments = [&deploy(&commit) as &[_], &["--stage", "dev", "--stack-name", STACK_NAME]].concat();
    let mut child = dev.command(&arguments).await.spawn().unwrap();
    let name = stack_of(&commit);
    // As soon as the change set is made there is a stack.
    eventually("the stack is begun", PATIENCE, async || dev.stack_status(&name).await, Option::is_some).await;
    child.kill().unwrap();
    child.wait().unwrap();
    dev.deployed(&commit, &[]).await;
    assert_eq!(dev.deployed(&commit, &[]).await, ("unchanged".to_owned(), "unchanged".to_owned()));
    dev.observed(&commit).await;
}

#[tokio::test]
async fn only_dev_gets_a_commit_before_it_is_built() {
    let dev = Dev::get().await;
    let commit = dev.here.built(fresh(&dev, "only-dev")).await;
    let run = dev.run(&[&deploy(&commit) as &[_], &["--stage", "uat", "--stack-name", STACK_NAME]].concat()).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(
        run.stderr.contains("only `dev` is deployed") && run.stderr.contains("gatekeeper promote"),
        "{}",
        run.stderr
    );
    // Whether the stage is one of the gatekeeper's, this role may not read: it says how stacks are called.
    let run = dev.run(&[&deploy(&commit) as &[_], &["--stage", "dev"]].concat()).await;
    assert_eq!(run.code, Some(3), "{run:#?}");
    assert!(run.stderr.contains("pass `--stack-name`"), "{}", run.stderr);

    // CI's own role, whose credentials are assumed to leak, deploys nowhere.
    let mut command = dev.here.aws.command(&dev.here.aws.ci().await).await;
    command.args(deploy(&commit)).args(["--stage", "dev", "--stack-name", STACK_NAME]);
    let output = output_of(command).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("cloudformation:DescribeStacks") && stderr.contains("not authorized"), "{stderr}");

    // A stack that a promotion brought where it is, under whatever name it is reached.
    dev.here.promoted(&commit, OTHER_ACCOUNT).await;
    let name = format!("{{repo}}-{OTHER_ACCOUNT}-{{stack}}");
    let run = dev.run(&[&deploy(&commit) as &[_], &["--stage", "dev", "--stack-name", &name]].concat()).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains(&format!("is of the stage `{OTHER_ACCOUNT}`")), "{}", run.stderr);
}

#[tokio::test]
async fn what_is_not_the_registered_commit_is_refused() {
    let dev = Dev::get().await;
    let codes = |run: &Run| -> Vec<String> {
        assert_eq!((run.code, &run.report["status"]), (Some(1), &json!("refused")), "{run:#?}");
        let reasons = run.report["reasons"].as_array().unwrap().iter();
        reasons.map(|it| it["code"].as_str().unwrap().to_owned()).collect()
    };
    let unknown = fresh(&dev, "unknown");
    assert_eq!(codes(&dev.deploy(&unknown, &[]).await), ["manifest-missing"]);

    let mut wrong = fresh(&dev, "wrong");
    wrong.manifest["modules"][0]["functions"][0]["logical_id"] = json!("NoSuchFn");
    wrong.put_artefacts(&dev.here.aws.ci().await).await;
    wrong.put_manifest(&dev.here.aws.ci().await, &wrong.before_integration()).await;
    let judged = async || dev.here.aws.verdict(&wrong).await;
    let is_rejected = |it: &Option<Verdict>| it.as_ref().is_some_and(|it| it.outcome == Outcome::Rejected);
    eventually("it is rejected", PATIENCE, judged, is_rejected).await;
    assert_eq!(codes(&dev.deploy(&wrong, &[]).await), ["not-built"]);

    let taken_back = dev.here.built(fresh(&dev, "taken-back")).await;
    let ci = dev.here.aws.ci().await;
    taken_back.tag(&ci, &gatekeeper_model::store_key::ArtefactPath::Manifest, &[("integration-passed", "false")]).await;
    let judged = async || dev.here.aws.verdict(&taken_back).await;
    let is_revoked = |it: &Option<Verdict>| it.as_ref().is_some_and(|it| it.outcome == Outcome::Revoked);
    eventually("it is revoked", PATIENCE, judged, is_revoked).await;
    // The tag follows the verdict.
    let refused = async || dev.deploy(&taken_back, &["--dry-run"]).await;
    let told = eventually("it is refused", PATIENCE, refused, |run| run.report["status"] == "refused").await;
    assert_eq!(codes(&told), ["revoked"]);
}

#[tokio::test]
async fn what_names_dev_is_deployed_where_it_was_made_for_and_nowhere_else() {
    let dev = Dev::get().await;
    let region = dev.here.aws.outputs.region.clone();
    let mut elsewhere = fresh(&dev, "elsewhere");
    let application = |commit: &Commit| format!("app-{}", commit.id.sha.as_str().get(..8).unwrap());
    let name = application(&elsewhere);
    synthesise_for_dev(&mut elsewhere, &region, &name);
    let elsewhere = dev.registered(elsewhere).await;
    let run = dev.deploy(&elsewhere, &[]).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains(DEV_ACCOUNT) && run.stderr.contains(&dev.account), "{}", run.stderr);
    assert_eq!(dev.stack_status(&stack_of(&elsewhere)).await, None);

    let mut commit = fresh(&dev, "made-for");
    let name = application(&commit);
    synthesise_for_dev(&mut commit, &region, &name);
    change_template(&mut commit, |template| {
        *template = serde_json::from_str(&template.to_string().replace(DEV_ACCOUNT, &dev.account)).unwrap();
    });
    commit.manifest["synthesised_for"]["account"] = json!(dev.account);
    let commit = dev.registered(commit).await;

    // Somebody else's bytes under the key are never replaced.
    let bucket = format!("cdk-hnb659fds-assets-{}-{region}", dev.account);
    let key = format!("{}.zip", Sha256::of(&commit.objects[&the_zip()]));
    let put = dev.role.s3.put_object().bucket(&bucket).key(&key).body(b"somebody's".to_vec().into());
    put.send().await.unwrap();
    let run = dev.deploy(&commit, &[]).await;
    assert_eq!((run.code, &run.report["status"]), (Some(1), &json!("failed")), "{run:#?}");
    assert!(run.report["problem"].as_str().unwrap().contains(&key), "{run:#?}");
    assert_eq!(dev.stack_status(&stack_of(&commit)).await, None);
    dev.role.s3.delete_object().bucket(&bucket).key(&key).send().await.unwrap();

    assert_eq!(dev.deployed(&commit, &[]).await, ("applied".to_owned(), "unchanged".to_owned()));
    let (code, environment, _) = dev.function(&commit).await;
    assert_eq!(code, Sha256::of(&commit.objects[&the_zip()]));
    assert_eq!(environment["SST_STAGE"], "dev");
    let template = dev.role.cloudformation().get_template().stack_name(stack_of(&commit)).send().await.unwrap();
    assert_eq!(template.template_body.unwrap().into_bytes(), commit.objects[&the_template()]);
    assert_eq!(dev.deployed(&commit, &[]).await.0, "unchanged");
    dev.observed(&commit).await;
}
