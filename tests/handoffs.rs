//! `gatekeeper handoffs pull`, with nothing but the rights of CI's role.

use std::fs;

use gatekeeper_model::{front_matter::FrontMatter, ids::ModuleId, store_key::RecordKey};
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn what_the_gate_wrote_is_pulled_byte_by_byte_and_once() {
    let aws = Instance::get().await;
    let (ci, commit) = (Shell::of_ci(&aws).await, Commit::new(&aws, "handoffs"));
    let root = tempfile::tempdir().unwrap();
    let into = root.path().join("docs/handoffs");
    let folder = into.to_str().unwrap();
    let (repo, sha) = (commit.id.repo.as_str(), commit.id.sha.as_str());
    let pull = ["handoffs", "pull", "--repo", repo, "--sha", sha, "--into", folder];

    // Nothing is there before the commit is Built, and nothing is made.
    let run = ci.run(&pull).await;
    assert_eq!((run.code, &run.report["handoffs"]), (1, &json!([])), "{run:#?}");
    assert!(run.stderr.contains("has written no Built handoff"), "{}", run.stderr);
    let run = ci.run(&[&pull as &[_], &["--wait=0"]].concat()).await;
    assert_eq!(run.code, 3, "{run:#?}");
    assert!(run.stderr.contains("has not judged"), "{}", run.stderr);
    assert!(!into.exists());

    let build = build_folder(&commit);
    assert_eq!(ci.publish(&commit, build.path(), &["--wait=60"]).await.code, 0);
    let run = ci.run(&[&pull as &[_], &["--wait=60", "--expect", "built"]].concat()).await;
    assert_eq!(run.code, 0, "{run:#?}");
    let module: ModuleId = MODULE.parse().unwrap();
    let key = RecordKey::BuiltHandoff(commit.id.clone(), module).to_string();
    let name = key.rsplit('/').next().unwrap();
    let stored = aws.root.s3.get_object().bucket(&aws.outputs.records_bucket).key(&key).send().await.unwrap();
    let stored = stored.body.collect().await.unwrap().to_vec();
    let file = into.join(name);
    assert_eq!(fs::read(&file).unwrap(), stored);
    assert_eq!(FrontMatter::of(std::str::from_utf8(&stored).unwrap()).unwrap().commit(), commit.id);
    let told = |state: &str| json!([{"file": file, "state": state, "module_id": MODULE, "build_status": "Built", "stage": "dev"}]);
    assert_eq!(run.report["handoffs"], told("new"), "{run:#?}");

    // The second time nothing is written; on GitHub Actions the run tells which commit it is.
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let mut on_github = ci;
    on_github.variables.extend([
        ("GITHUB_ACTIONS", "true".to_owned()),
        ("GITHUB_REPOSITORY", format!("example-bank/{repo}")),
        ("GITHUB_SHA", sha.to_owned()),
    ]);
    let run = on_github.run(&["handoffs", "pull", "--into", folder]).await;
    assert_eq!((run.code, &run.report["handoffs"]), (0, &told("unchanged")), "{run:#?}");
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), modified);
    assert_eq!(fs::read_dir(&into).unwrap().count(), 1);

    // What was changed by hand is what the gatekeeper wrote again.
    fs::write(&file, "edited").unwrap();
    let run = on_github.run(&["handoffs", "pull", "--into", folder]).await;
    assert_eq!((run.code, &run.report["handoffs"]), (0, &told("changed")), "{run:#?}");
    assert_eq!(fs::read(&file).unwrap(), stored);
}

#[tokio::test]
async fn a_document_about_another_commit_is_not_written() {
    let aws = Instance::get().await;
    let (ci, commit) = (Shell::of_ci(&aws).await, Commit::new(&aws, "handoffs-forged"));
    let root = tempfile::tempdir().unwrap();
    let into = root.path().join("handoffs");
    let pull = ["handoffs", "pull", "--repo", commit.id.repo.as_str(), "--sha", commit.id.sha.as_str(), "--into"];
    let pull = [&pull as &[_], &[into.to_str().unwrap()]].concat();
    let key = RecordKey::BuiltHandoff(commit.id.clone(), MODULE.parse().unwrap()).to_string();
    let put = async |key: &str, text: &str| {
        // As an administrator, whom the local AWS spares every policy: nobody else may.
        let put = aws.root.s3.put_object().bucket(&aws.outputs.records_bucket).key(key);
        put.body(text.as_bytes().to_vec().into()).checksum_sha256(Sha256::of(text.as_bytes()).to_base64()).send().await
    };
    let other = format!(
        "---\nmodule_id: {MODULE}\nrepo: {}\ncommit_sha: \"{}\"\nbuild_status: Built\nstage: dev\n\
         timestamp: \"2026-05-02T03:10:00Z\"\nevidence: none\n---\n",
        commit.id.repo,
        "0".repeat(40)
    );
    put(&key, &other).await.unwrap();
    let run = ci.run(&pull).await;
    assert_eq!((run.code, &run.report), (3, &Value::Null), "{run:#?}");
    assert!(run.stderr.contains("is about something else"), "{}", run.stderr);

    put(&key.replace("MOD-012-ci", "notes-ci"), &other).await.unwrap();
    let run = ci.run(&pull).await;
    assert_eq!(run.code, 3, "{run:#?}");
    assert!(run.stderr.contains("does not have the name of a handoff document"), "{}", run.stderr);
    assert!(!into.exists());
}

#[tokio::test]
async fn ci_lists_nothing_below_another_prefix_than_handoffs() {
    let aws = Instance::get().await;
    let ci = aws.ci().await;
    let commit = Commit::new(&aws, "handoffs-list");
    let list = async |prefix: &str| {
        let list = ci.s3.list_objects_v2().bucket(&aws.outputs.records_bucket).prefix(prefix);
        list.send().await.is_ok()
    };
    assert!(list(&RecordKey::handoffs_prefix(&commit.id)).await);
    for prefix in ["promotions/", "config/", "stages/", &commit.id.prefix()] {
        assert!(!list(prefix).await, "{prefix}");
    }
}
