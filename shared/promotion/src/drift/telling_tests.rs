//! Each change is told once, whatever is found when.

use proptest::prelude::*;

use super::{
    tests::{ID, at, lines, state},
    *,
};

fn of(subjects: &[(&str, &str)]) -> Compared {
    let findings = subjects.iter().map(|(subject, message)| Finding::new(Code::FunctionChanged, *subject, *message));
    Compared { findings: findings.collect(), ..Compared::default() }
}

#[test]
fn each_change_is_new_once_and_resolved_once() {
    let first = Drift::after(None, &state(), of(&[("a", "x")]), at(0));
    assert_eq!(lines(&first.change().new), "function-changed a: x");
    let first = first.as_told();
    assert!(first.change().is_empty());

    let again = Drift::after(Some(&first), &state(), of(&[("a", "x")]), at(15));
    assert!(again.change().is_empty() && !again.is_worth_writing(Some(&first)));
    let later = Drift::after(Some(&first), &state(), of(&[("a", "x")]), at(60));
    assert!(later.is_worth_writing(Some(&first)), "that it still stands is confirmed");

    // Other words on the same trouble are news, and it stands since it was first seen.
    let other = Drift::after(Some(&first), &state(), of(&[("a", "y"), ("b", "z")]), at(30));
    assert_eq!((lines(&other.change().new).lines().count(), other.change().resolved.len()), (2, 0));
    assert_eq!(other.findings.iter().map(|it| it.first_seen).collect::<Vec<_>>(), [at(0), at(30)]);
    let fine = Drift::after(Some(&other.as_told()), &state(), of(&[]), at(45));
    assert_eq!((fine.change().new.len(), fine.change().resolved.len(), fine.since), (0, 2, None));
}

#[test]
fn what_is_not_seen_stands_until_it_is_or_until_the_next_promotion() {
    let first = Drift::after(None, &state(), of(&[("a", "x"), ("b", "x")]), at(0)).as_told();
    let blind = || Compared { unseen: [(Code::FunctionChanged, "a".to_owned())].into(), ..Compared::default() };
    let second = Drift::after(Some(&first), &state(), blind(), at(15));
    assert_eq!(lines(&second.change().resolved), "function-changed b: x");
    assert_eq!(second.findings[0].finding.subject, "a");
    let promoted = StageState { promotion_id: "01J0000000000000000000000B".parse().unwrap(), ..state() };
    assert_eq!(Drift::after(Some(&second), &promoted, blind(), at(30)).findings, []);
}

#[test]
fn the_document_reads_back_and_is_plain() {
    let drift = Drift::after(None, &state(), of(&[("authorise", "it runs other code")]), at(0));
    insta::assert_json_snapshot!(drift, @r#"
    {
      "schema_version": 1,
      "stage": "uat",
      "repo": "bank-payments",
      "commit_sha": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "promotion_id": "01J0000000000000000000000A",
      "checked_at": "1970-01-01T00:00:00Z",
      "changed_at": "1970-01-01T00:00:00Z",
      "since": "1970-01-01T00:00:00Z",
      "findings": [
        {
          "code": "function-changed",
          "message": "it runs other code",
          "subject": "authorise",
          "first_seen": "1970-01-01T00:00:00Z"
        }
      ],
      "told": []
    }
    "#);
    let text = serde_json::to_string(&drift).unwrap();
    assert_eq!(serde_json::from_str::<Drift>(&text).unwrap(), drift);
}

#[test]
fn a_stage_is_left_alone_while_a_promotion_is_under_way() {
    let lock = Lock::held(ID.parse().unwrap(), "arn".to_owned(), at(0));
    assert!(is_under_way(Some(&lock), at(239)) && !is_under_way(Some(&lock), at(240)) && !is_under_way(None, at(0)));
    assert!(!is_under_way(Some(&Lock { released_at: Some(at(1)), ..lock }), at(2)));
}

proptest! {
    /// Whatever is found when, and wherever a run is killed before it has told: who is told each change knows what stands.
    #[test]
    fn who_is_told_each_change_knows_what_stands(
        runs in proptest::collection::vec((proptest::collection::btree_map("[a-c]", "[xy]", 0..4), any::<bool>()), 1..12)
    ) {
        let mut stored: Option<Drift> = None;
        let mut known = std::collections::BTreeMap::new();
        for (minutes, (found, is_killed)) in runs.into_iter().enumerate() {
            let found_now: Vec<_> = found.iter().map(|(subject, message)| (subject.as_str(), message.as_str())).collect();
            let drift = Drift::after(stored.as_ref(), &state(), of(&found_now), at(i64::try_from(minutes).unwrap()));
            if is_killed {
                stored = Some(drift);
                continue;
            }
            let change = drift.change();
            for resolved in &change.resolved {
                prop_assert!(known.remove(&resolved.subject).is_some(), "only what is known is resolved");
            }
            for new in &change.new {
                prop_assert_ne!(known.insert(new.subject.clone(), new.message.clone()), Some(new.message.clone()));
            }
            prop_assert_eq!(&known, &found);
            stored = Some(drift.as_told());
        }
    }
}
