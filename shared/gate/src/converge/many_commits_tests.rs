//! A store that has grown: what a commit costs doesn't depend on how many others there are.

use super::*;

/// Each call that the gate makes for the commit, from the upload to Built and quiet.
async fn calls(world: &mut World) -> [Vec<(&'static str, String)>; 2] {
    world.artefacts.note_calls();
    world.records.note_calls();
    world.upload_reports();
    world.upload_manifest(registered);
    assert_eq!(world.settled().await.outcome, Outcome::Registered);
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    [&world.artefacts, &world.records].map(Memory::note_calls)
}

#[tokio::test]
async fn among_100_000_commits_the_gate_asks_for_exactly_what_it_asks_for_alone() {
    let mut alone = World::new(7);
    let expected = calls(&mut alone).await;

    let mut among = World::new(7);
    for number in 0..100_000_u32 {
        // A tenth of them of the same repository, on both sides of the commit in the order of keys.
        let repo = if number % 10 == 0 { "bank-payments".to_owned() } else { format!("bank-team-{}", number % 100) };
        let sha = format!("{:08x}", number.wrapping_mul(0x9e37_79b9)).repeat(5);
        let commit = Commit { repo: repo.parse().unwrap(), sha: sha.parse().unwrap() };
        among.artefacts.upload(&format!("{}build-manifest.json", commit.prefix()), b"{}", &[]);
        among.records.upload(&RecordKey::Verdict(commit).to_string(), b"{}", &[]);
    }
    among.artefacts.take_events();
    assert_eq!(calls(&mut among).await, expected);
    assert!(expected.iter().all(|calls| !calls.is_empty()));
    for (operation, prefix) in expected.iter().flatten().filter(|(operation, _)| operation.starts_with("List")) {
        assert_eq!(*prefix, commit().prefix(), "{operation} of more than the commit");
    }
}
