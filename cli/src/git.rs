//! What git knows of a commit.

use std::{path::Path, process::Command};

use gatekeeper::ids::CommitSha;

/// The e-mail address of a commit's author; none where the folder lies in no clone that has the commit.
pub(crate) fn author(folder: &Path, sha: &CommitSha) -> Option<String> {
    let arguments = ["log", "-1", "--no-show-signature", "--format=%ae", sha.as_str()];
    let ended = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
    let text = String::from_utf8(ended.stdout).ok()?;
    let author = text.trim();
    (ended.status.success() && !author.is_empty()).then(|| author.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(folder: &Path, arguments: &[&str]) -> String {
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@bank.example", "-c", "commit.gpgsign=false"];
        let ended = Command::new("git").arg("-C").arg(folder).args(who).args(arguments).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn the_author_is_the_one_of_that_commit_in_the_folders_clone() {
        let folder = tempfile::tempdir().unwrap();
        let build = folder.path().join("build/commit");
        std::fs::create_dir_all(&build).unwrap();
        let unknown: CommitSha = "0".repeat(40).parse().unwrap();
        assert_eq!(author(&build, &unknown), None, "no clone, or none that has it");
        git(folder.path(), &["init", "--quiet"]);
        git(folder.path(), &["commit", "--quiet", "--allow-empty", "--message", "by ada"]);
        let sha: CommitSha = git(folder.path(), &["rev-parse", "HEAD"]).parse().unwrap();
        git(
            folder.path(),
            &["commit", "--quiet", "--allow-empty", "--author", "Ben <ben@bank.example>", "--message", "by ben"],
        );
        assert_eq!(author(&build, &sha).as_deref(), Some("ada@bank.example"));
        assert_eq!(author(&build, &unknown), None);
    }
}
