//! Files of revocations: what an older bundle says is refused, and a file that says less than was signed is found.

use gatekeeper_model::ids::CommitSha;
use gatekeeper_proof::{
    LocalSigner,
    ledger::{Event, Kind},
};
use gatekeeper_store::ReadStore as _;
use jiff::SignedDuration;

use super::*;
use crate::{
    bundle,
    bundle::Files,
    bundle_verify::{MaxAge, OwnKeys, verify_against},
    judge,
    model::Evidence,
    sample::{World, commit, question},
};

async fn bundled(world: &World) -> Files {
    let exhibits = world.exhibits(question()).await;
    bundle::files(&exhibits, &judge(&exhibits)).unwrap()
}

async fn taken(world: &World) -> Revocations {
    let now = "2026-05-03T00:00:00Z".parse().unwrap();
    Revocations::take(&world.records, [commit().repo], &world.keys(), now).await.unwrap()
}

/// Takes another commit of the repository back.
async fn revoke_another(world: &World, sha: char) {
    let sha: CommitSha = sha.to_string().repeat(40).parse().unwrap();
    let event = Event {
        commit_sha: Some(sha.clone()),
        manifest_version_id: Some("m1".into()),
        ..Event::bare(Kind::Revocation, format!("revocation/{sha}/m1"), "revoked")
    };
    let now = "2026-05-02T11:00:00Z".parse().unwrap();
    ledger::append(&world.records, &world.gate, &Chain::of_gate(commit().repo), &event, None, now).await.unwrap();
}

fn verified(files: &Files, revocations: &[&Revocations]) -> Evidence {
    let texts: Vec<_> = revocations.iter().map(|it| serde_json::to_vec(it).unwrap()).collect();
    let given: Vec<_> = texts.iter().map(|bytes| Given { name: "revocations.json", bytes }).collect();
    verify_against(files, &OwnKeys::default(), None, &given).unwrap()
}

fn told(evidence: &Evidence) -> Vec<String> {
    let of_it = evidence.checks.iter().filter(|it| it.name == PROVED || it.name == STANDS);
    of_it.map(|it| format!("{} {}: {}", it.holds, it.name, it.detail)).collect()
}

#[tokio::test]
async fn a_newer_file_refuses_the_bundle_of_a_commit_that_was_taken_back_since() {
    let world = World::promoted().await;
    let files = bundled(&world).await;
    revoke_another(&world, '5').await;
    let before = verified(&files, &[&taken(&world).await]);
    assert_eq!(before.verdict, Holds::Holds, "{:?}", told(&before));
    world.revoke("rounds down").await;
    let now = taken(&world).await;
    assert_eq!(now.summary().0, 2);
    let refused = verified(&files, &[&now]);
    assert_eq!(refused.verdict, Holds::Fails);
    insta::assert_snapshot!(told(&refused).join("\n"));
    // Beside an older file it says the same.
    let older: Revocations = Revocations { chains: Vec::new(), ..now.clone() };
    assert_eq!(verified(&files, &[&older, &now]).verdict, Holds::Fails);
}

#[tokio::test]
async fn a_file_that_says_less_than_was_signed_is_found() {
    let world = World::promoted().await;
    revoke_another(&world, '5').await;
    let files = bundled(&world).await;
    let older = taken(&world).await;
    revoke_another(&world, '6').await;
    let newer_bundle = bundled(&world).await;
    world.revoke("rounds down").await;
    let whole = taken(&world).await;

    let thinned = |change: &dyn Fn(&mut TravellingChain)| {
        let mut file = whole.clone();
        change(&mut file.chains[0]);
        let evidence = verified(&files, &[&file]);
        assert_eq!(evidence.verdict, Holds::Fails, "{:?}", told(&evidence));
        told(&evidence).join("\n")
    };
    let cases = [
        ("an entry too few", thinned(&|it| drop(it.entries.pop()))),
        ("without the first", thinned(&|it| drop(it.entries.remove(0)))),
        ("without one between", thinned(&|it| drop(it.entries.remove(1)))),
        ("another word", thinned(&|it| it.entries[2] = it.entries[2].replace("rounds down", "rounds up"))),
        ("without its head", thinned(&|it| it.head = None)),
        ("nothing of it", thinned(&|it| (it.head, it.entries) = (None, Vec::new()))),
        ("an older head", thinned(&|it| it.head.clone_from(&older.chains[0].head))),
        ("of another repository", thinned(&|it| it.repo = "bank-kyc".parse().unwrap())),
    ];
    insta::assert_snapshot!(cases.map(|(what, told)| format!("{what}: {told}")).join("\n"));

    // A whole older file is not what this bundle was taken from.
    let stale = verified(&newer_bundle, &[&older]);
    assert_eq!(stale.verdict, Holds::Fails);
    assert!(told(&stale)[0].contains("older than the bundle, which has seen entry 2"), "{:?}", told(&stale));
    assert_eq!(verified(&newer_bundle, &[&taken(&world).await]).verdict, Holds::Fails);
}

#[tokio::test]
async fn a_file_of_another_key_or_of_another_chain_proves_nothing() {
    let world = World::promoted().await;
    revoke_another(&world, '5').await;
    let files = bundled(&world).await;
    let mut strange = World::promoted().await;
    strange.gate = LocalSigner::from_seed(9);
    revoke_another(&strange, '5').await;
    let evidence = verified(&files, &[&taken(&strange).await]);
    assert!(told(&evidence)[0].contains("the signature does not hold"), "{:?}", told(&evidence));

    // The same key has signed two chains: one of them is a lie.
    let fork = World::promoted().await;
    revoke_another(&fork, '6').await;
    revoke_another(&fork, '7').await;
    let evidence = verified(&files, &[&taken(&fork).await]);
    assert!(told(&evidence)[0].contains("entry 1 of `gate/bank-payments` is not the one"), "{:?}", told(&evidence));
    let nothing_seen = bundled(&World::promoted().await).await;
    let both = verified(&nothing_seen, &[&taken(&fork).await, &taken(&world).await]);
    assert_eq!(both.verdict, Holds::Fails, "{:?}", told(&both));
}

#[tokio::test]
async fn where_nothing_was_ever_taken_back_nothing_is_signed_and_it_is_said() {
    let world = World::promoted().await;
    let empty = verified(&bundled(&world).await, &[&taken(&world).await]);
    assert_eq!(empty.verdict, Holds::Unknown);
    assert!(told(&empty)[0].contains("nothing was ever entered into `gate/bank-payments`"), "{:?}", told(&empty));
}

#[tokio::test]
async fn what_is_no_file_of_revocations_is_called_so() {
    let files = bundled(&World::promoted().await).await;
    for bytes in ["", "{}", "[]", r#"{"schema_version": 2, "taken_at": "2026-05-03T00:00:00Z", "chains": []}"#] {
        let given = [Given { name: "r.json", bytes: bytes.as_bytes() }];
        let evidence = verify_against(&files, &OwnKeys::default(), None, &given).unwrap();
        assert!(told(&evidence)[0].contains("`r.json` is no file of revocations"), "{:?}", told(&evidence));
        assert_eq!(evidence.verdict, Holds::Fails);
    }
}

#[tokio::test]
async fn a_chain_that_does_not_hold_does_not_travel() {
    let world = World::promoted().await;
    revoke_another(&world, '5').await;
    revoke_another(&world, '6').await;
    world.records.delete("ledger/gate/bank-payments/0000000001.json");
    let taken = Revocations::take(&world.records, [commit().repo], &world.keys(), Timestamp::UNIX_EPOCH).await;
    assert!(matches!(taken, Err(TakeError::Broken { .. })), "{taken:?}");
    assert!(world.records.get("ledger/gate/bank-payments/0000000002.json", None, 9999).await.unwrap().is_some());
}

#[tokio::test]
async fn the_newer_of_bundle_and_revocations_tells_the_age() {
    let world = World::promoted().await;
    let files = bundled(&world).await;
    revoke_another(&world, '5').await;
    let bytes = serde_json::to_vec(&taken(&world).await).unwrap();
    let given = [Given { name: "revocations.json", bytes: &bytes }];
    let max_age = |now: &str| Some(MaxAge { at_most: SignedDuration::from_hours(1), now: now.parse().unwrap() });
    let verified = |now, given| verify_against(&files, &OwnKeys::default(), max_age(now), given).unwrap().verdict;
    assert_eq!(verified("2026-05-02T11:59:00Z", &[]), Holds::Fails);
    assert_eq!(verified("2026-05-02T11:59:00Z", &given[..]), Holds::Holds);
    assert_eq!(verified("2026-05-02T12:01:00Z", &given[..]), Holds::Fails);
}
