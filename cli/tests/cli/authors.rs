//! `gatekeeper publish` in clones that can't tell who wrote the commit: shallow, of another user, of another commit.

use std::{path::Path, process::Command};

use crate::common::{Build, Run, gatekeeper_with};

fn git(folder: &Path, arguments: &[&str]) -> String {
    let who = ["-c", "user.name=Ada", "-c", "user.email=ada@bank.example", "-c", "commit.gpgsign=false"];
    let ended = Command::new("git").arg("-C").arg(folder).args(who).args(arguments).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap().trim().to_owned()
}

/// A build folder in a clone, and its commit.
fn cloned(change: impl FnOnce(&Path, &Path)) -> (tempfile::TempDir, String) {
    let root = tempfile::tempdir().unwrap();
    let (origin, clone) = (root.path().join("origin"), root.path().join("clone"));
    std::fs::create_dir(&origin).unwrap();
    git(&origin, &["init", "--quiet", "--initial-branch=main"]);
    for message in ["one", "two"] {
        git(&origin, &["commit", "--quiet", "--allow-empty", "--message", message]);
    }
    change(&origin, &clone);
    let sha = git(&origin, &["rev-parse", "HEAD"]);
    let mut build = Build::built();
    *build.manifest.get_mut("commit_sha").unwrap() = sha.clone().into();
    std::fs::create_dir_all(clone.join("build")).unwrap();
    let copied = Command::new("cp").arg("-r").arg(build.folder()).arg(clone.join("build/commit")).status().unwrap();
    assert!(copied.success());
    (root, sha)
}

fn publish(root: &Path, sha: &str, more: &[&str]) -> Run {
    let folder = root.join("clone/build/commit");
    let named = ["publish", folder.to_str().unwrap(), "--repo", "bank-payments", "--sha", sha, "--branch", "main"];
    let mut run = gatekeeper_with(&[&named, more].concat(), &[]);
    let path = root.canonicalize().unwrap();
    for path in [path.as_path(), root] {
        run.stderr = run.stderr.replace(path.to_str().unwrap(), "ROOT").replace(sha, "SHA");
    }
    run
}

fn whole(origin: &Path, clone: &Path) {
    git(origin, &["clone", "--quiet", &format!("file://{}", origin.display()), clone.to_str().unwrap()]);
}

#[test]
fn a_shallow_clone_is_an_error_with_the_remedy() {
    let (root, sha) = cloned(|origin, clone| {
        let from = format!("file://{}", origin.display());
        git(origin, &["clone", "--quiet", "--depth=1", &from, clone.to_str().unwrap()]);
    });
    let run = publish(root.path(), &sha, &[]);
    assert_eq!(run.code, 2);
    insta::assert_snapshot!(run.stderr, @"error: nothing was uploaded: the clone of `ROOT/clone/build/commit` is shallow, so nobody can tell who wrote what is new in the commit: check out the whole history (`fetch-depth: 0` of actions/checkout, `git fetch --unshallow`), or pass `--authors`");
    // Nothing is uploaded by a dry run, so nobody is left out.
    let run = publish(root.path(), &sha, &["--dry-run"]);
    assert!(run.code == 0 && run.stderr.starts_with("warning: the clone of"), "{}", run.stderr);
    let run = publish(root.path(), &sha, &["--dry-run", "--authors", "Ada <ada@bank.example>,ben@bank.example"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[test]
fn a_clone_of_another_user_is_an_error_with_the_remedy() {
    let (root, sha) = cloned(whole);
    let owner = Command::new("chown").args(["-R", "4321"]).arg(root.path().join("clone")).status().unwrap();
    // Only root gives a folder away; git refuses it to root as it does to everybody else.
    if !owner.success() {
        return;
    }
    let run = publish(root.path(), &sha, &[]);
    assert_eq!(run.code, 2);
    insta::assert_snapshot!(run.stderr, @"error: nothing was uploaded: git refuses the clone `ROOT/clone`, because another user owns it, so nobody can tell who wrote the commit: run `git config --global --add safe.directory ROOT/clone`, or pass `--authors`");
}

#[test]
fn a_clone_without_the_commit_is_an_error_with_the_remedy() {
    let (root, sha) = cloned(whole);
    git(&root.path().join("clone"), &["checkout", "--quiet", "--orphan", "other"]);
    let other = "0".repeat(40);
    let run = publish(root.path(), &other, &[]);
    assert_eq!(run.code, 2);
    insta::assert_snapshot!(run.stderr.replace(&other, "OTHER"), @"error: nothing was uploaded: the clone that `ROOT/clone/build/commit` lies in has no commit `SHA`, so nobody can tell who wrote it: build in the clone of the commit, `git fetch origin SHA`, or pass `--authors`");
    assert_eq!(publish(root.path(), &sha, &["--dry-run"]).code, 0);
}

#[test]
fn without_knowing_what_was_built_last_nothing_is_uploaded() {
    let (root, sha) = cloned(whole);
    let outputs = root.path().join("outputs.json");
    let place = r#"{"Endpoint": "http://127.0.0.1:9", "Region": "eu-west-1", "AccessKeyId": "a", "SecretAccessKey": "b",
                    "ArtefactBucket": "a", "RecordsBucket": "r"}"#;
    std::fs::write(&outputs, place).unwrap();
    let run = publish(root.path(), &sha, &["--outputs", outputs.to_str().unwrap()]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(
        run.stderr.contains("which commit of `main` was Built last could not be read from `built/bank-payments/"),
        "{}",
        run.stderr
    );
}
