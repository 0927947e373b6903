//! A SAM app from what `sam build` wrote to a stage: collected, deployed to dev, observed, Built and promoted.

use std::{fs, path::Path, time::Duration};

use aws_sdk_cloudformation::types::Capability;
use e2e::{
    commit::{Commit, MODULE},
    promotion::{Live, Promotions, a_repo},
    watch::eventually,
};
use gatekeeper_model::{ids::Sha256, store_key::ArtefactPath};
use serde_json::{Value, json};

use super::{Shell, write};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The stage that every instance has.
const UAT: &str = "uat";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The digest of a function's code in a stack.
fn code(template: &Value, id: &str) -> String {
    let key = template["Resources"][id]["Properties"]["Code"]["S3Key"].as_str().unwrap();
    key.split('.').next().unwrap().to_owned()
}

#[tokio::test]
async fn what_sam_built_is_tested_in_dev_and_promoted_as_it_is() {
    let here = Promotions::get().await;
    let aws = &here.aws;
    let (ci, deployer) = (Shell::of_ci(aws).await, Shell::of_root(aws));
    let mut commit = Commit::new(aws, "of");
    commit.id.repo = a_repo("sam");
    commit.manifest["repo"] = json!(commit.id.repo);
    let work = tempfile::tempdir().unwrap();
    let (app, out) = (work.path().join("app"), work.path().join("commit"));
    copy(&Path::new(ROOT).join("cli/tests/cli/collect/sam"), &app);
    let (build, folder) = (app.join("aws-sam/build"), out.to_str().unwrap());
    let python = Path::new(ROOT).join(".local/venv/bin/python");
    let collect = ["collect", build.to_str().unwrap(), "--module", MODULE, "--stack", "payments", "--out", folder];
    let run = deployer.run(&[&collect as &[_], &["--python", python.to_str().unwrap()]].concat()).await;
    assert_eq!(run.code, 0, "{run:#?}");

    // As the guide says: the stored template, over what `stage-assets` has put where it names it.
    let run = deployer.run(&["stage-assets", folder]).await;
    assert_eq!(run.code, 0, "{run:#?}");
    let template = fs::read_to_string(out.join(format!("modules/{MODULE}/cloudformation/payments.json"))).unwrap();
    let client = aws.root.cloudformation();
    let dev = format!("{}-dev-payments", commit.id.repo);
    let create = client.create_stack().stack_name(&dev).template_body(&template);
    create.capabilities(Capability::CapabilityIam).send().await.unwrap();
    let status = async || {
        let stack = client.describe_stacks().stack_name(&dev).send().await.unwrap();
        stack.stacks()[0].stack_status().unwrap().as_str().to_owned()
    };
    eventually("the stack is there", Duration::from_mins(1), status, |status| status == "CREATE_COMPLETE").await;

    // What dev runs is what was collected, and that is what the tests ran on.
    let observed = work.path().join("observed.json");
    let observed = observed.to_str().unwrap();
    let observe = ["observe", folder, "--stage", "dev", "--repo", commit.id.repo.as_str(), "--write", observed];
    let run = deployer.run(&observe).await;
    assert_eq!((run.code, &run.report["equal"]), (0, &json!(true)), "{run:#?}");
    let collected: Value = serde_json::from_slice(&fs::read(out.join("build-manifest.json")).unwrap()).unwrap();
    let mut manifest = commit.manifest.clone();
    manifest["modules"] = collected["modules"].clone();
    manifest["flyway"] = json!({});
    manifest["tests"]["integration"]["deployed"] = json!([]);
    manifest["tests"]["integration"]["layers"] = json!([]);
    write(&out, &ArtefactPath::Manifest, manifest.to_string().as_bytes());
    for (path, bytes) in commit.objects.iter().filter(|(path, _)| matches!(path, ArtefactPath::Report(_))) {
        write(&out, path, bytes);
    }
    let run = ci.publish(&commit, &out, &["--wait=60", "--observed", observed]).await;
    assert_eq!((run.code, &run.report["verdict"]["outcome"]), (0, &json!("built")), "{run:#?}");

    let record = here.promoted(&commit, UAT).await;
    let template: Value = serde_json::from_str(&template).unwrap();
    let ids: Vec<_> = record.plan.functions.iter().map(|it| it.logical_id.as_str()).collect();
    assert_eq!(ids, ["PayFunction", "SweepFunction"]);
    assert_eq!(
        record.plan.stacks[0].applied_sha256(),
        Sha256::of(&fs::read(out.join(format!("modules/{MODULE}/cloudformation/payments.json"))).unwrap())
    );
    for (planned, function) in record.plan.functions.iter().zip(&record.live) {
        assert!(function.is_promoted_code, "{function:?}");
        let Live { code: live, environment, .. } = here.live(function.function_name.as_ref().unwrap()).await;
        assert_eq!((live, live.to_string()), (planned.bundle.sha256, code(&template, &planned.logical_id)));
        assert_eq!(environment["STAGE"], UAT);
    }
}
