//! The three ways round and their kind: whatever hides an author from a comparison of addresses.

use gatekeeper_model::{identity::Identity, manifest::Manifest};
use gatekeeper_store::record::Stored;
use serde_json::{Value, json};

use super::*;

const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";

fn stored(person: &str, minute: u8) -> GivenApproval {
    let arn = format!("arn:aws:sts::111122223333:assumed-role/approver/{person}");
    let record = Approval {
        schema_version: 1,
        repo: "bank-payments".parse().unwrap(),
        commit_sha: SHA.parse().unwrap(),
        stage: "prod".parse().unwrap(),
        manifest_version_id: "v1".into(),
        approved_by: Identity::of(&arn, "111122223333", "AROAEXAMPLE:x", "111122223333").unwrap(),
        approved_at: format!("2026-05-06T09:{minute:02}:00Z").parse().unwrap(),
        reason: "looked at the change".to_owned(),
        break_glass: false,
        plan_sha256: None,
        withdrawn: None,
    };
    let sha256 = gatekeeper_store::record::digest(&record).unwrap();
    let stored = Stored { record, etag: "".into(), version_id: "".into(), sha256 };
    GivenApproval { stored, proof: Ok(Sha256::of(b"the key")) }
}

/// What the approvals of these people come to: a line each, and then who is not known.
fn told(authors: &Value, identities: Option<&Value>, people: &[&str]) -> String {
    let manifest = json!({
        "schema_version": 1, "repo": "bank-payments", "commit_sha": SHA, "branch": "main",
        "timestamp": "2026-05-02T03:04:05Z", "modules": [], "authors": authors
    });
    let manifest: Manifest = serde_json::from_value(manifest).unwrap();
    let identities = identities
        .map_or_else(Identities::default, |document| Identities::parse(document.to_string().as_bytes()).unwrap());
    let authors = Authors::of(&manifest, &identities);
    let commit = Commit { repo: manifest.repo, sha: manifest.commit_sha };
    let (stage, requester) = ("prod".parse().unwrap(), Person::named("rita@bank.example"));
    let counting = Counting {
        commit: &commit,
        stage: &stage,
        manifest_version_id: &"v1".into(),
        plan_sha256: None,
        owners: Owners { requester: Some(&requester), authors: &authors, identities: &identities },
    };
    let approvals: Vec<_> = people.iter().zip(0..).map(|(person, minute)| stored(person, minute)).collect();
    let (counted, not_counted) = counting.count(&approvals);
    let counted = counted.iter().map(|it| format!("{} counts", it.person()));
    let others = not_counted.iter().map(|it| format!("{}: {}", it.person, it.why));
    let unknown = counting.unknown_authors();
    let unknown = unknown.iter().map(|it| format!("{}: {}", it.code, it.message));
    counted.chain(others).chain(unknown).collect::<Vec<_>>().join("\n")
}

fn bank() -> Value {
    json!({"schema_version": 1, "mail_domains": ["bank.example"], "aliases": {"jane@bank.example": ["janedoe"]}, "bots": ["ci"]})
}

#[test]
fn a_private_address_of_github_hides_nobody() {
    let private = json!([{"name": "Jane Doe", "email": "12345678+janedoe@users.noreply.github.com", "commits": 1}]);
    insta::assert_snapshot!(told(&private, Some(&bank()), &["jane@bank.example", "bob@bank.example"]), @"
    bob@bank.example counts
    jane@bank.example: this is the commit's author, as `12345678+janedoe@users.noreply.github.com`
    ");
    insta::assert_snapshot!(told(&private, None, &["jane@bank.example", "bob@bank.example"]), @"
    jane@bank.example counts
    bob@bank.example counts
    author-unknown: author `12345678+janedoe@users.noreply.github.com` (Jane Doe): an account on GitHub, which nothing says whose it is; say in `config/identities.json` whose it is (`aliases`), or that it is nobody (`bots`)
    ");
}

#[test]
fn an_address_with_a_plus_or_in_other_letters_hides_nobody() {
    for spelled in ["jane+work@bank.example", "Jane@Bank.Example", "JANE+x+y@BANK.EXAMPLE"] {
        let authors = json!([{"name": "Jane", "email": spelled, "commits": 1}]);
        for identities in [None, Some(bank())] {
            let told = told(&authors, identities.as_ref(), &["jane@bank.example", "jane", "bob"]);
            assert!(told.starts_with("bob counts\njane@bank.example: this is the commit's author"), "{told}");
            assert!(told.contains("\njane: this is the commit's author"), "{told}");
        }
    }
}

#[test]
fn a_mergers_name_hides_no_author_of_what_was_merged() {
    let merged = json!([
        {"name": "Merger", "email": "mel@bank.example", "commits": 1}, {"name": "Jane", "email": "jane@bank.example", "commits": 3}
    ]);
    insta::assert_snapshot!(told(&merged, None, &["mel@bank.example", "jane@bank.example", "rita", "bob"]), @"
    bob counts
    mel@bank.example: this is the commit's author
    jane@bank.example: this is the commit's author
    rita: this is who asks for the promotion
    ");
}

#[test]
fn who_is_nobody_or_could_be_anybody_approves_nothing() {
    let authors = json!([{"name": "Jane", "email": "jane@bank.example", "commits": 1}]);
    insta::assert_snapshot!(told(&authors, Some(&bank()), &["ci", "bob@partner.example", "janedoe", "bob", "bob@bank.example"]), @"
    bob counts
    ci: this is nobody, says `config/identities.json`
    bob@partner.example: not of the mail domains, so it could be an author; add it to `aliases` of `config/identities.json`
    janedoe: this is the commit's author, as `jane@bank.example`
    bob@bank.example: this is `bob` again
    ");
}
