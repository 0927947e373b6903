//! Who wrote a commit, of real repositories: merges, squashed branches, shallow clones, clones of another user.

use super::*;

/// A repository in a folder of its own.
pub(crate) struct Repository(pub(crate) tempfile::TempDir);

impl Repository {
    pub(crate) fn new() -> Self {
        let it = Self(tempfile::tempdir().unwrap());
        it.git(&["init", "--quiet", "--initial-branch=main"]);
        it
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(self.path(), arguments)
    }

    /// Adds a commit by `author`; its name.
    pub(crate) fn commit(&self, author: &str, message: &str) -> CommitSha {
        self.git(&["commit", "--quiet", "--allow-empty", "--author", author, "--message", message]);
        self.git(&["rev-parse", "HEAD"]).parse().unwrap()
    }

    /// Merges a branch as `author`, as a forge does.
    pub(crate) fn merge(&self, branch: &str, author: &str) -> CommitSha {
        self.git(&["merge", "--quiet", "--no-ff", "--no-commit", branch]);
        self.commit(author, &format!("Merge {branch}"))
    }

    fn clone(&self) -> GitClone {
        GitClone::around(self.path()).unwrap().unwrap()
    }

    fn authors(&self, base: Option<&CommitSha>, sha: &CommitSha) -> String {
        let told = self.clone().authors(base, sha).unwrap();
        told.iter().map(|it| format!("{} {} <{}>", it.commits, it.name, it.email)).collect::<Vec<_>>().join("\n")
    }
}

pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let who = ["-c", "user.name=Ada", "-c", "user.email=ada@bank.example", "-c", "commit.gpgsign=false"];
    let ended = Command::new("git").arg("-C").arg(folder).args(who).args(arguments).output().unwrap();
    assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap().trim().to_owned()
}

const ADA: &str = "Ada <ada@bank.example>";
const BEN: &str = "Ben <ben@bank.example>";
const MEL: &str = "Mel <mel@bank.example>";

#[test]
fn the_authors_of_what_was_merged_are_told_beside_the_merger() {
    let repository = Repository::new();
    let built = repository.commit(ADA, "built before");
    repository.git(&["switch", "--quiet", "--create", "change"]);
    repository.commit("Jane Doe <12345678+janedoe@users.noreply.github.com>", "one");
    repository.commit(BEN, "two");
    repository.commit("Ben L. <Ben@Bank.example>", "three");
    repository.git(&["switch", "--quiet", "main"]);
    let merged = repository.merge("change", MEL);
    insta::assert_snapshot!(repository.authors(Some(&built), &merged), @"
    2 Ben L <Ben@Bank.example>
    1 Jane Doe <12345678+janedoe@users.noreply.github.com>
    1 Mel <mel@bank.example>
    ");
    insta::assert_snapshot!(repository.authors(None, &merged), @"
    2 Ben L <Ben@Bank.example>
    1 Jane Doe <12345678+janedoe@users.noreply.github.com>
    1 Ada <ada@bank.example>
    1 Mel <mel@bank.example>
    ");
    assert_eq!(repository.authors(Some(&merged), &merged), "");
    let clone = repository.clone();
    assert_eq!(clone.author(&merged).unwrap().as_deref(), Some("mel@bank.example"));
    let is_in = |earlier, later| clone.has_in_history(earlier, later).unwrap();
    assert!(is_in(&built, &merged) && is_in(&merged, &merged) && !is_in(&merged, &built));
}

#[test]
fn co_authors_of_a_squashed_branch_are_told_as_gits_trailers_are_read() {
    let repository = Repository::new();
    let squashed = repository.commit(
        MEL,
        "A change (#12)\n\n* one\n\nCo-authored-by: not.a@trailer.example\n\n* two\n\n---------\n\n\
         Co-authored-by: Jane Doe <12345678+janedoe@users.noreply.github.com>\nco-authored-BY: Ben\n  <ben@bank.example>\n\
         Signed-off-by: Sue <sue@bank.example>\nCo-authored-by: ben@bank.example\nCo-authored-by: No Address\n\
         Co-authored-by: Mel <mel@bank.example>",
    );
    insta::assert_snapshot!(repository.authors(None, &squashed), @"
    1 No Address <>
    1 Jane Doe <12345678+janedoe@users.noreply.github.com>
    1 Ben <ben@bank.example>
    1 Mel <mel@bank.example>
    ");
}

#[test]
fn neither_a_mailmap_nor_replaced_objects_give_a_commit_to_somebody_else() {
    let repository = Repository::new();
    std::fs::write(repository.path().join(".mailmap"), "Ben <ben@bank.example> <ada@bank.example>\n").unwrap();
    repository.git(&["add", ".mailmap"]);
    repository.git(&["config", "log.mailmap", "true"]);
    let sha = repository.commit(ADA, "one");
    repository.git(&["config", "trailer.separators", "="]);
    let other = repository.commit(BEN, "two\n\nCo-authored-by: Cy <cy@bank.example>");
    repository.git(&["replace", other.as_str(), sha.as_str()]);
    insta::assert_snapshot!(repository.authors(None, &other), @"
    1 Ada <ada@bank.example>
    1 Ben <ben@bank.example>
    1 Cy <cy@bank.example>
    ");
}

#[test]
fn a_folder_in_no_clone_or_of_another_commit_says_so() {
    let folder = tempfile::tempdir().unwrap();
    assert!(GitClone::around(folder.path()).unwrap().is_none());
    let repository = Repository::new();
    let sha = repository.commit(ADA, "one");
    let clone = repository.clone();
    assert!(clone.has(&sha).unwrap() && !clone.has(&"0".repeat(40).parse().unwrap()).unwrap());
    let deep = repository.path().join("build/commit");
    std::fs::create_dir_all(&deep).unwrap();
    assert!(GitClone::around(&deep).unwrap().unwrap().has(&sha).unwrap());
}

#[test]
fn a_shallow_clone_is_one() {
    let repository = Repository::new();
    repository.commit(ADA, "one");
    repository.commit(BEN, "two");
    let folder = tempfile::tempdir().unwrap();
    let from = format!("file://{}", repository.path().display());
    git(folder.path(), &["clone", "--quiet", "--depth=1", &from, "shallow"]);
    assert!(GitClone::around(&folder.path().join("shallow")).unwrap().unwrap().is_shallow());
    git(folder.path(), &["clone", "--quiet", &from, "whole"]);
    let whole = GitClone::around(&folder.path().join("whole")).unwrap().unwrap();
    assert_eq!((whole.is_shallow(), whole.default_branch().as_deref()), (false, Some("main")));
}

#[test]
fn more_people_than_a_manifest_names_are_refused() {
    let repository = Repository::new();
    let commit = |number: usize| {
        format!(
            "commit refs/heads/main\nauthor A{number} <a{number}@bank.example> {number} +0000\n\
             committer C <c@bank.example> {number} +0000\ndata 1\nx\n"
        )
    };
    let stream: Vec<_> = (0..=MAX_AUTHORS).map(commit).collect();
    let stored = repository.path().join("stream");
    std::fs::write(&stored, stream.concat()).unwrap();
    let mut import = Command::new("git");
    import.arg("-C").arg(repository.path()).args(["fast-import", "--quiet"]);
    assert!(import.stdin(std::fs::File::open(&stored).unwrap()).status().unwrap().success());
    let sha = repository.git(&["rev-parse", "main"]).parse().unwrap();
    let refused = repository.clone().authors(None, &sha).unwrap_err().to_string();
    assert!(refused.contains("more than 1000 people") && refused.contains("`--authors`"), "{refused}");
    let before = repository.git(&["rev-parse", "main~1"]).parse().unwrap();
    assert_eq!(repository.clone().authors(None, &before).unwrap().len(), MAX_AUTHORS);
}

#[test]
fn people_are_read_as_people_write_them() {
    let read = |text| parse(text).map(|it| (it.name, it.email));
    let pair = |name: &str, email: &str| Some((name.to_owned(), email.to_owned()));
    assert_eq!(read("Jane Doe <jane@bank.example>"), pair("Jane Doe", "jane@bank.example"));
    assert_eq!(read(" jane@bank.example "), pair("", "jane@bank.example"));
    assert_eq!(read("<jane@bank.example>"), pair("", "jane@bank.example"));
    assert_eq!(read("Jane"), pair("Jane", ""));
    assert_eq!(read("Jane <jane@bank.example"), pair("Jane", "jane@bank.example"));
    assert_eq!(read("Jane <> x"), pair("Jane", ""));
    assert_eq!(read(" <> "), None);
}
