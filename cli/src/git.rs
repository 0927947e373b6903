//! What git knows of a commit: who wrote it and what is new in it, read by the real git.
//!
//! `.mailmap` is left out of account: whoever writes a commit writes that too, and could give it to somebody else. Who is who
//! is said in `config/identities.json`, which deployers write.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use gatekeeper_model::{ids::CommitSha, manifest::Author};

use crate::exit::Misuse;

/// The most people that a manifest names.
pub(crate) const MAX_AUTHORS: usize = 1000;

/// The longest name or address that is taken, in characters.
const MAX_CHARS: usize = 400;

/// Of each commit the author's name and address and the co-authors, as git's own parser of trailers reads them (git
/// documentation, "git-log", "PRETTY FORMATS"). Neither names nor addresses hold a NUL.
const FORMAT: &str = "--format=%an%x00%ae%x00%(trailers:key=Co-authored-by,valueonly,unfold,separator=%x1d)";
/// What stands between co-authors.
const SEPARATOR: char = '\u{1d}';

/// How authors are told without git.
const BY_HAND: &str = "pass `--authors`";

/// A clone.
#[derive(Debug)]
pub(crate) struct GitClone {
    folder: PathBuf,
    /// Whether it lacks the commits before some of those that it has.
    is_shallow: bool,
}

/// What a call of git came to.
struct Ended {
    success: bool,
    stdout: String,
    stderr: String,
}

impl GitClone {
    /// The clone that a folder lies in; `None` where the folder is part of no clone.
    ///
    /// # Errors
    /// Where git refuses it, as that of another user, or isn't there.
    pub(crate) fn around(folder: &Path) -> Result<Option<Self>, Misuse> {
        let clone = Self { folder: folder.to_owned(), is_shallow: false };
        let ended = match clone.git(&["rev-parse", "--is-shallow-repository"]) {
            Ok(ended) => ended,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_cloned(folder) => return Ok(None),
            Err(error) => return Err(clone.failed(&error)),
        };
        if ended.success {
            return Ok(Some(Self { is_shallow: ended.stdout.trim() == "true", ..clone }));
        }
        let said = ended.stderr.trim();
        if said.contains("dubious ownership") || said.contains("is owned by someone else") {
            let named = said.split('\'').nth(1).unwrap_or("*").to_owned();
            return Err(Misuse(format!(
                "git refuses the clone `{named}`, because another user owns it, so nobody can tell who wrote the commit: run \
                 `git config --global --add safe.directory {named}`, or {BY_HAND}"
            )));
        }
        if said.contains("not a git repository") { Ok(None) } else { Err(clone.failed(&said)) }
    }

    /// Whether it lacks the commits before some of those that it has.
    pub(crate) fn is_shallow(&self) -> bool {
        self.is_shallow
    }

    /// Where it is, for messages.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it has a commit.
    ///
    /// # Errors
    /// Where git can't be run.
    pub(crate) fn has(&self, sha: &CommitSha) -> Result<bool, Misuse> {
        Ok(self.ask(&["cat-file", "-e", &format!("{sha}^{{commit}}")])?.success)
    }

    /// Whether `earlier` is in the history of `later`, or that commit itself; both are there.
    ///
    /// # Errors
    /// Where git can't be run.
    pub(crate) fn has_in_history(&self, earlier: &CommitSha, later: &CommitSha) -> Result<bool, Misuse> {
        Ok(self.ask(&["merge-base", "--is-ancestor", earlier.as_str(), later.as_str()])?.success)
    }

    /// The branch that the origin calls its default; `None` where the clone doesn't know.
    pub(crate) fn default_branch(&self) -> Option<String> {
        let ended = self.ask(&["symbolic-ref", "--quiet", "refs/remotes/origin/HEAD"]).ok()?;
        let name = ended.stdout.trim().strip_prefix("refs/remotes/origin/")?.to_owned();
        (ended.success && !name.is_empty()).then_some(name)
    }

    /// The e-mail address of a commit's author; `None` where the commit has none.
    ///
    /// # Errors
    /// Where git can't be run.
    pub(crate) fn author(&self, sha: &CommitSha) -> Result<Option<String>, Misuse> {
        let ended = self.ask(&["log", "-1", "--no-show-signature", "--format=%ae", sha.as_str()])?;
        let author = ended.stdout.trim();
        Ok((ended.success && !author.is_empty()).then(|| author.to_owned()))
    }

    /// The authors and co-authors of the commits that are in the history of `sha` and not in that of `base`; merges are
    /// among them, and what they merged. Those of most commits come first.
    ///
    /// # Errors
    /// Where git fails, or there are more than [`MAX_AUTHORS`].
    pub(crate) fn authors(&self, base: Option<&CommitSha>, sha: &CommitSha) -> Result<Vec<Author>, Misuse> {
        let range = base.map_or_else(|| sha.to_string(), |base| format!("{base}..{sha}"));
        let arguments = ["log", "-z", "--no-show-signature", "--encoding=UTF-8", FORMAT, &range, "--"];
        let mut command = self.command(&arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| self.failed(&error))?;
        let mut people = People::default();
        let read = match child.stdout.take() {
            Some(stdout) => people.read(&mut BufReader::new(stdout)),
            None => Ok(()),
        };
        let too_many = people.0.len() > MAX_AUTHORS;
        if too_many {
            // It has more to say, and nobody listens any more.
            let _ = child.kill();
        }
        let mut said = String::new();
        if let Some(stderr) = &mut child.stderr {
            let _ = stderr.take(10_000).read_to_string(&mut said);
        }
        let status = child.wait().map_err(|error| self.failed(&error))?;
        if too_many {
            return Err(Misuse(format!(
                "more than {MAX_AUTHORS} people wrote what is new in `{sha}` ({range}): {BY_HAND} with those who wrote this change"
            )));
        }
        read.map_err(|error| self.failed(&error))?;
        if status.success() { Ok(people.sorted()) } else { Err(self.failed(&said.trim())) }
    }

    fn ask(&self, arguments: &[&str]) -> Result<Ended, Misuse> {
        self.git(arguments).map_err(|error| self.failed(&error))
    }

    fn git(&self, arguments: &[&str]) -> io::Result<Ended> {
        let ended = self.command(arguments).stdout(Stdio::piped()).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ended { success: ended.status.success(), stdout: text(&ended.stdout), stderr: text(&ended.stderr) })
    }

    /// What is replaced or grafted in a clone is no part of the commit.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(["--no-replace-objects", "--no-pager", "-c", "trailer.separators=:", "-C"]).arg(&self.folder);
        command.args(arguments).env("LC_ALL", "C").env("GIT_GRAFT_FILE", "/dev/null");
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn failed(&self, why: &dyn std::fmt::Display) -> Misuse {
        Misuse(format!(
            "git can't tell who wrote the commit in `{}`: {why}; mend that, or {BY_HAND}",
            self.folder.display()
        ))
    }
}

/// Whether a folder lies in a clone, as far as can be told without git.
fn is_cloned(folder: &Path) -> bool {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder.ancestors().any(|folder| folder.join(".git").exists())
}

/// People by their addresses, whatever the letters; of a name without an address by that.
#[derive(Debug, Default)]
struct People(BTreeMap<String, Author>);

impl People {
    /// Reads what git says in [`FORMAT`], three fields of a commit that end in a NUL each.
    fn read(&mut self, from: &mut impl io::BufRead) -> io::Result<()> {
        loop {
            let (name, email, co_authors) = (field(from)?, field(from)?, field(from)?);
            let (Some(name), Some(email), Some(co_authors)) = (name, email, co_authors) else { return Ok(()) };
            let mut of_one = vec![person(&name, &email)];
            of_one.extend(co_authors.split(SEPARATOR).filter_map(parse));
            let mut seen = std::collections::BTreeSet::new();
            for author in of_one {
                let key = if author.email.is_empty() { &author.name } else { &author.email }.to_lowercase();
                if seen.insert(key.clone()) {
                    self.0.entry(key).or_insert(author).commits += 1;
                }
            }
            if self.0.len() > MAX_AUTHORS {
                return Ok(());
            }
        }
    }

    fn sorted(self) -> Vec<Author> {
        let mut people: Vec<_> = self.0.into_values().collect();
        people.sort_by(|one, other| (other.commits, &one.email).cmp(&(one.commits, &other.email)));
        people
    }
}

fn field(from: &mut impl io::BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    from.read_until(0, &mut bytes)?;
    Ok((bytes.pop() == Some(0)).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

fn person(name: &str, email: &str) -> Author {
    let plain = |text: &str| text.trim().chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect();
    Author { name: plain(name), email: plain(email), commits: 0 }
}

/// Reads `Jane <jane@bank.example>`, an address alone, or a name alone; `None` where nothing stands there.
pub(crate) fn parse(text: &str) -> Option<Author> {
    let text = text.trim();
    let split = text.split_once('<').map(|(name, rest)| (name, rest.split('>').next().unwrap_or(rest)));
    let author = match split {
        Some((name, email)) => person(name, email),
        None if text.contains('@') && !text.contains(char::is_whitespace) => person("", text),
        None => person(text, ""),
    };
    (!author.name.is_empty() || !author.email.is_empty()).then_some(author)
}

#[cfg(test)]
#[path = "git_tests.rs"]
mod tests;
