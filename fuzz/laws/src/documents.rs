//! The documents that people and pipelines write, and events: what is read says one thing only, and reads back from what it is
//! written as.

use std::{collections::BTreeMap, fmt};

use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    dbt,
    input::{choose, has_a_key_twice, kind, plain_json, reads_back, told},
    keys,
    product::{
        ArtefactKey, ArtefactPath, Batch, Change, Commit, FreezeSpan, FrontMatter, Identities, Manifest, Person,
        Placed, Policy, Rules, StagesConfig,
    },
    pulumi,
};

/// The laws of documents. The first line says which one follows: `manifest`, `policy`, `stages`, `identities`, `handoff`,
/// `event`, `dbt-manifest`, `dbt-run-results`, `pulumi-history`, `pulumi-state`, `pulumi-preview`, `pulumi-refresh`; or `key` or `id`, each line of which is one.
pub fn documents(input: &[u8]) {
    let Some((kind, document)) = kind(input) else { return };
    match (kind, str::from_utf8(document)) {
        ("manifest", _) => manifest(document),
        ("policy", _) => policy(document),
        ("stages", _) => stages(document),
        ("identities", _) => identities(document),
        ("event", _) => event(document),
        ("dbt-manifest", _) => dbt::manifest(document),
        ("dbt-run-results", _) => dbt::run_results(document),
        ("pulumi-history", _) => pulumi::history(document),
        ("pulumi-state", _) => pulumi::state(document),
        ("pulumi-preview", _) => pulumi::preview(document),
        ("pulumi-refresh", _) => pulumi::refresh(document),
        ("handoff", Ok(text)) => {
            if let Ok(front) = FrontMatter::of(text) {
                reads_back(&front);
                assert_eq!(FrontMatter::of(text), Ok(front.clone()));
                assert!(FrontMatter::of(&text.replacen("---\n", "---\nsurprise\n", 1)).is_err());
                assert_eq!((front.commit().repo, front.commit().sha), (front.repo, front.commit_sha));
            }
        }
        ("key", Ok(text)) => text.split('\n').take(16).for_each(keys::key),
        ("id", Ok(text)) => text.split('\n').take(16).for_each(keys::id),
        _ => {}
    }
}

/// A document that is taken has no key twice: another reader would believe the other one.
fn says_one_thing(document: &[u8]) {
    assert_ne!(has_a_key_twice(document), Some(true), "a key stands twice in {}", String::from_utf8_lossy(document));
}

/// Whatever a document holds, a message on it says something that a terminal shows as it is.
fn quoted(message: &dyn fmt::Display) {
    let message = message.to_string();
    assert!(!message.is_empty() && !message.contains(char::is_control), "{message:?}");
}

/// The document with a key that nobody knows.
fn with_a_surprise(document: &[u8]) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(document).expect("what was read is JSON");
    value["surprise"] = json!(1);
    value.to_string().into_bytes()
}

fn manifest(document: &[u8]) {
    let claimed: Option<Commit> = serde_json::from_slice(document).ok();
    let commit = claimed.unwrap_or_else(|| Commit {
        repo: "bank-payments".parse().expect("a repository"),
        sha: "3f1c9a0b5d7e2468ace013579bdf02468ace1357".parse().expect("a commit"),
    });
    let manifest = match Manifest::parse(document, &commit) {
        Ok(manifest) => manifest,
        Err(findings) => {
            assert!(!findings.is_empty());
            told(&findings[..findings.len().min(100)], &ArtefactPath::Manifest.of(&commit));
            return;
        }
    };
    says_one_thing(document);
    let json = reads_back(&manifest);
    assert_eq!(Manifest::parse(&json, &commit).as_ref(), Ok(&manifest));
    let other = Commit { repo: "another-repository".parse().expect("a repository"), ..commit.clone() };
    assert!(other == commit || Manifest::parse(document, &other).is_err(), "it is another repository's too");
    let mut paths = Vec::new();
    for claim in manifest.claims() {
        let key = claim.path.of(&commit);
        let parsed = ArtefactKey::parse(&key).expect("a claim lies in the layout");
        assert_eq!((&parsed.path, &parsed.commit), (&claim.path, &commit));
        assert!(!paths.contains(&key), "{key} is claimed twice");
        paths.push(key);
    }
    for database in manifest.databases() {
        assert!(manifest.modules_of(database).next().is_some());
        manifest.partitions_of(database).for_each(drop);
    }
    assert_eq!(manifest.functions().count(), manifest.modules.iter().map(|it| it.functions.len()).sum::<usize>());
    if let Some(value) = plain_json(document) {
        assert_eq!(Manifest::parse(value.to_string().as_bytes(), &commit), Ok(manifest), "spelt otherwise");
    }
}

fn policy(document: &[u8]) {
    let policy = match Policy::parse(document) {
        Ok(policy) => policy,
        Err(error) => return quoted(&error),
    };
    says_one_thing(document);
    assert_eq!(Policy::parse(&reads_back(&policy)).as_ref(), Ok(&policy));
    assert!(Policy::parse(&with_a_surprise(document)).is_err(), "an unknown field binds nobody in silence");
    let everybody = "of-everybody".parse().expect("a repository");
    let without = Policy { repos: BTreeMap::new(), ..policy.clone() };
    assert_eq!(without.rules_of(&everybody).max_flaky, policy.all.max_flaky);
    for repo in policy.repos.keys().chain([&everybody]) {
        let rules = policy.rules_of(repo);
        let of_all = without.rules_of(repo);
        let Some(change) = policy.repos.get(repo) else {
            assert_eq!(rules, of_all);
            continue;
        };
        assert!(change.require.iter().all(|it| rules.require(*it)), "what is required of one repository binds it");
        assert!(change.waive.iter().all(|it| !rules.require(*it)));
        let all_else = of_all.required.iter().filter(|it| !change.waive.contains(it));
        assert!(all_else.clone().all(|it| rules.require(*it)), "what binds all binds one too");
        assert!(rules.refuse.is_superset(&of_all.refuse) && rules.known_types.is_superset(&of_all.known_types));
        assert!(
            (0.0..=100.0).contains(&rules.min_line_coverage) && (0.0..=100.0).contains(&rules.min_function_coverage)
        );
    }
    let adr = Rules::of_adr_053(&everybody);
    assert!(adr.required.iter().all(|it| policy.all.waive.contains(it) || policy.rules_of(&everybody).require(*it)));
}

fn stages(document: &[u8]) {
    let config = match StagesConfig::parse(document) {
        Ok(config) => config,
        Err(finding) => return quoted(&finding.message),
    };
    says_one_thing(document);
    assert_eq!(StagesConfig::parse(&reads_back(&config)).as_ref(), Ok(&config));
    assert!(StagesConfig::parse(&with_a_surprise(document)).is_err(), "an unknown field is a rule that doesn't hold");
    // Seconds from 1970 to 2100.
    let seconds = i64::try_from(choose(document, 4_102_444_800)).unwrap_or_default();
    let now = Timestamp::from_second(seconds).expect("it is in the range of timestamps");
    for window in config.stages.values().flat_map(|stage| &stage.freeze) {
        assert!(!window.to_string().is_empty());
        let Some(until) = window.frozen_until(now) else { continue };
        assert!(until > now && !window.local(until).is_empty(), "{window}: {until} is not behind {now}");
        let before = until - SignedDuration::from_secs(1);
        assert!(before < now || window.frozen_until(before).is_some_and(|it| it >= until), "{window} at {before}");
        if let FreezeSpan::Once { .. } = window.span {
            assert_eq!(window.frozen_until(until), None, "{window} ends once");
        }
    }
    let (repo, stack) = ("bank.pay_ments".parse().expect("a repository"), "payments-api".parse().expect("a stack"));
    for (name, stage) in &config.stages {
        if let Err(finding) = stage.stack_name_of(&repo, name, &stack) {
            told(std::slice::from_ref(&finding), &finding.subject);
        }
    }
}

fn identities(document: &[u8]) {
    let identities = match Identities::parse(document) {
        Ok(identities) => identities,
        Err(error) => return quoted(&error),
    };
    says_one_thing(document);
    let json = serde_json::to_vec(&identities).expect("identities are written");
    assert_eq!(Identities::parse(&json).as_ref(), Ok(&identities), "what was read is its own plainest form");
    assert!(Identities::parse(&with_a_surprise(document)).is_err(), "an unknown field binds nobody in silence");
    let (bots, aliases) = (&identities.bots, &identities.aliases);
    for bot in bots.iter().chain(&identities.ignored_committers) {
        assert!(bot.len() > 320 || identities.place(bot) == Placed::Nobody, "{bot:?} is somebody");
    }
    let mut names: Vec<&str> = vec!["jane", "jane@bank.example", "1+jane@users.noreply.github.com", "web-flow"];
    for (person, of_person) in aliases {
        let placed: Vec<_> = of_person.iter().filter(|it| it.len() <= 320).map(|it| identities.place(it)).collect();
        assert!(
            placed.windows(2).all(|two| two[0] == two[1]),
            "the names of {person:?} are several people: {placed:?}"
        );
        assert!(!placed.contains(&Placed::Nobody), "{person:?} is nobody");
        names.extend(of_person.iter().map(String::as_str));
    }
    let people: Vec<Person> = names.iter().filter_map(|name| placed(&identities, name)).collect();
    for one in &people {
        assert!(identities.same(one, one), "{one} is not {one}");
        for other in &people {
            assert_eq!(identities.same(one, other), identities.same(other, one), "{one} and {other}");
        }
    }
}

/// Whose a name is: the same however its letters are written and wherever it stands, and the name that it comes to is the same
/// person's.
fn placed(identities: &Identities, name: &str) -> Option<Person> {
    let place = identities.place(name);
    if name.is_ascii() && name.len() < 200 && !name.contains(['<', '>']) {
        for spelt in [name.to_ascii_uppercase(), format!(" {name} "), format!("Jane <{name}>")] {
            assert_eq!(identities.place(&spelt), place, "{spelt:?} and {name:?}");
        }
    }
    let Placed::Person(person) = place else { return None };
    // Of an alias' own name the document decides, whatever characters it has.
    if person.as_str().len() <= 320 && person.as_str().bytes().all(|byte| byte.is_ascii_graphic()) {
        let again = identities.place(person.as_str());
        assert_eq!(again, Placed::Person(person.clone()), "{name:?} is {person}, who is somebody else");
    }
    Some(person)
}

/// S3 encodes keys as in a form.
const FORM: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b' ');

/// What is told is the same whichever way it comes: directly, by EventBridge, from a queue, or from the dead letters.
fn event(payload: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(payload) else {
        // The text of a key, then.
        if let Ok(key) = str::from_utf8(payload) {
            encoded(key);
        }
        return;
    };
    let batch = Batch::parse(&value);
    assert!(!batch.records.is_empty() && (batch.from_queue || batch.records.len() == 1));
    for record in &batch.records {
        if let Err(error) = &record.events {
            assert!(!error.to_string().is_empty());
        }
    }
    if batch.from_queue {
        let messages = value["Records"].as_array().map_or(0, Vec::len);
        assert_eq!(batch.records.len(), messages, "each message stands for itself");
        return;
    }
    let Ok(events) = &batch.records[0].events else { return };
    let body = value.to_string();
    let queue = json!({"Records": [
        {"eventSource": "aws:sqs", "messageId": "one", "body": body},
        {"eventSource": "aws:sqs", "messageId": "two", "body": "no JSON"},
    ]});
    let from_queue = Batch::parse(&queue);
    assert_eq!((from_queue.from_queue, from_queue.records.len()), (true, 2));
    assert!(from_queue.records[1].events.is_err());
    // A letter in a letter may be one too many.
    if value.get("requestPayload").is_none() {
        assert_eq!(from_queue.records[0].events.as_ref(), Ok(events), "from a queue");
        let letter = Batch::parse(&json!({"requestPayload": value, "requestContext": {}}));
        assert_eq!(letter.records[0].events.as_ref(), Ok(events), "from the dead letters");
    }
}

/// A key arrives as it is, whichever way S3 tells of it.
fn encoded(key: &str) {
    let form = utf8_percent_encode(key, &FORM).to_string().replace(' ', "+");
    let direct = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "b"}, "object": {"key": form, "versionId": "v"}}}]});
    let bridge = json!({"detail-type": "Object Created", "source": "aws.s3",
        "detail": {"bucket": {"name": "b"}, "object": {"key": key, "version-id": "v"}}});
    for payload in [direct, bridge] {
        let batch = Batch::parse(&payload);
        let events = batch.records[0].events.as_ref().expect("it is an event");
        let [event] = events.as_slice() else { panic!("one event, not {events:?}") };
        assert_eq!((event.change, event.key.as_str()), (Change::Created, key));
        assert_eq!((event.bucket.as_str(), &event.version_id), ("b", &Some("v".into())));
    }
}
