//! Names and keys: each is read as it is written, and by the pattern that its JSON Schema has.

use std::{fmt, str::FromStr, sync::LazyLock};

use regex::Regex;
use serde::{Serialize, de::DeserializeOwned};

use crate::product::{
    ArtefactKey, Commit, CommitSha, DatabaseName, FileName, FunctionName, MigrationPath, ModuleId, PartitionedTable,
    PromotionId, RecordKey, Repo, Sha256, StackName, StageName,
};

/// The patterns, as the JSON Schemas tell them.
static PATTERNS: LazyLock<[(&str, Regex); 8]> = LazyLock::new(|| {
    [
        ("commit sha", r"^([0-9a-f]{40}|[0-9a-f]{64})$"),
        ("module id", r"^MOD-[0-9]{3,}$"),
        ("stage name", r"^[a-z][a-z0-9-]{0,31}$"),
        ("function name", r"^[A-Za-z0-9_-]{1,64}$"),
        ("stack name", r"^[A-Za-z][A-Za-z0-9-]{0,127}$"),
        ("database name", r"^[A-Za-z_][A-Za-z0-9_$-]{0,62}$"),
        ("file name", r"^[A-Za-z0-9_][A-Za-z0-9._+ ()@,=-]{0,199}$"),
        ("promotion id", r"^[0-9A-HJKMNP-TV-Z]{26}$"),
    ]
    .map(|(kind, pattern)| (kind, Regex::new(pattern).expect("it is a pattern")))
});

/// A name is what its pattern says, and reads back from what it is written as.
pub(crate) fn id(text: &str) {
    let is = [
        ("commit sha", one::<CommitSha>(text)),
        ("module id", one::<ModuleId>(text)),
        ("stage name", one::<StageName>(text)),
        ("function name", one::<FunctionName>(text)),
        ("stack name", one::<StackName>(text)),
        ("database name", one::<DatabaseName>(text)),
        ("file name", one::<FileName>(text)),
        ("promotion id", one::<PromotionId>(text)),
    ];
    for ((kind, is), (_, pattern)) in is.into_iter().zip(PATTERNS.iter()) {
        assert_eq!(is, pattern.is_match(text), "{text:?} as a {kind}");
    }
    one::<Repo>(text);
    one::<PartitionedTable>(text);
    one::<MigrationPath>(text);
    if let Ok(digest) = text.parse::<Sha256>() {
        assert_eq!((digest.to_string().as_str(), Sha256::from_base64(&digest.to_base64())), (text, Some(digest)));
    }
}

fn one<T>(text: &str) -> bool
where
    T: FromStr + fmt::Display + fmt::Debug + PartialEq + Serialize + DeserializeOwned,
{
    let json = serde_json::to_string(text).expect("a text is JSON");
    let read = serde_json::from_str::<T>(&json);
    match text.parse::<T>() {
        Ok(id) => {
            assert_eq!(id.to_string(), text);
            assert_eq!(serde_json::to_string(&id).expect("a name is JSON"), json);
            assert_eq!(read.expect("what is parsed is read"), id);
            true
        }
        Err(_) => {
            assert!(read.is_err(), "{text:?} is read and not parsed");
            false
        }
    }
}

/// A key of either bucket is written as it was read, so that no two keys are one place.
pub(crate) fn key(text: &str) {
    match ArtefactKey::parse(text) {
        Ok(key) => {
            assert_eq!(key.to_string(), text);
            assert_eq!(key.path.of(&key.commit), text);
            assert!(text.starts_with(&key.commit.prefix()) && !key.path.content_type().is_empty());
            let json = serde_json::to_string(&key.path).expect("a path is JSON");
            assert_eq!(serde_json::from_str(&json).ok().as_ref(), Some(&key.path));
        }
        Err(outside) => {
            assert_eq!(outside.key, text);
            if let Some(commit) = outside.commit {
                assert!(text.starts_with(&commit.prefix()));
            }
        }
    }
    if let Some(chain) = RecordKey::chain_of(text) {
        assert!(text.starts_with(&RecordKey::ledger_prefix(&chain)));
        let head = RecordKey::LedgerHead(chain.clone()).to_string();
        assert_eq!(RecordKey::chain_of(&head), Some(chain));
    }
    if let Some((stage, repo)) = RecordKey::stage_and_repo(text) {
        let both = [RecordKey::Stage(stage.clone(), repo.clone()), RecordKey::Lock(stage, repo)];
        assert!(both.iter().any(|it| it.to_string() == text), "{text}");
    }
    if let Some(commit) = RecordKey::commit_of_digest(text)
        && let Some(digest) = text.split('/').nth(1).and_then(|it| it.parse().ok())
    {
        assert_eq!(RecordKey::DigestIndex(digest, commit).to_string(), text);
    }
    let commit = Commit {
        repo: "bank-payments".parse().expect("a repository"),
        sha: "3f1c9a0b5d7e2468ace013579bdf02468ace1357".parse().expect("a commit"),
    };
    if let Some(handoff) = RecordKey::handoff_of(&commit, text) {
        assert_eq!(handoff.to_string(), text);
    }
    let stage = "uat".parse().expect("a stage");
    if let Some(approval) = RecordKey::approval_of(&stage, &commit, text) {
        assert_eq!(approval.to_string(), text);
    }
}
