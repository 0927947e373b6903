//! What a sweep finds and what it leaves alone.

use super::{
    super::sweep::{Sweep, SweepEvent, Swept, turn},
    *,
};

/// Long after everything here.
fn deadline() -> Timestamp {
    "2026-05-02T03:20:00Z".parse().unwrap()
}

impl World {
    /// Nobody hears of what happened.
    fn lose_events(&mut self) {
        self.artefacts.take_events();
        self.pending.clear();
    }

    async fn swept(&self) -> Swept {
        self.gate().sweep(&Sweep::default(), deadline()).await.unwrap()
    }
}

#[tokio::test]
async fn a_commit_whose_every_event_was_lost_is_judged_and_the_next_sweep_has_two_calls_to_make_for_it() {
    let mut world = World::new(5);
    world.upload_reports();
    world.upload_manifest(|_| {});
    world.lose_events();
    assert_eq!(world.swept().await, Swept { commits: 1, looked_at: 1, settled: 1, ..Swept::default() });
    assert_eq!(world.verdict().outcome, Outcome::Built);
    assert_eq!(world.tag("reports/unit.xml").as_deref(), Some("true"));
    world.assert_settled().await;

    world.artefacts.note_calls();
    world.records.note_calls();
    assert_eq!(world.swept().await, Swept { commits: 1, looked_at: 1, ..Swept::default() });
    let [artefacts, records] = [&world.artefacts, &world.records].map(Memory::note_calls);
    let listed = ["", "bank-payments/", &commit().prefix()].map(|prefix| ("ListObjectVersions", prefix.to_owned()));
    assert_eq!(artefacts, listed);
    assert_eq!(records, [("GetObject", RecordKey::Verdict(commit()).to_string())]);
}

#[tokio::test]
async fn a_commit_that_fails_harms_no_other_and_is_told() {
    let mut world = World::new(5);
    world.upload_reports();
    world.upload_manifest(|_| {});
    let other = Commit { sha: "4".repeat(40).parse().unwrap(), ..commit() };
    world.artefacts.upload(&format!("{}reports/unit.xml", other.prefix()), b"", &[]);
    world.records.upload(&RecordKey::Verdict(other).to_string(), b"no verdict", &[]);
    world.lose_events();
    assert_eq!(world.swept().await, Swept { commits: 2, looked_at: 2, settled: 1, failed: 1, ..Swept::default() });
    assert_eq!(world.verdict().outcome, Outcome::Built);
}

#[tokio::test]
async fn what_a_lifecycle_took_away_keeps_its_verdict() {
    let mut world = World::new(5);
    world.upload_reports();
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    for report in REPORTS {
        world.artefacts.delete(&key(&format!("reports/{report}")));
    }
    world.artefacts.delete(&key("build-manifest.json"));
    world.lose_events();
    assert_eq!(world.swept().await.settled, 0);
    assert_eq!(world.verdict().outcome, Outcome::Built);
}

#[tokio::test]
async fn a_stranger_among_the_objects_that_is_refused_is_not_refused_each_hour() {
    let mut world = World::new(5);
    world.upload_reports();
    world.upload_manifest(|_| {});
    world.artefacts.upload(&key("reports/extra.xml"), b"", &[]);
    assert_eq!(world.settled().await.outcome, Outcome::Rejected);
    assert_eq!(world.swept().await.settled, 0);
}

#[tokio::test]
async fn where_there_is_no_time_it_tells_how_many_are_left() {
    let mut world = World::new(5);
    world.upload_reports();
    world.lose_events();
    let swept = world.gate().sweep(&Sweep::default(), "2026-05-02T03:10:59Z".parse().unwrap()).await.unwrap();
    assert_eq!(swept, Swept { commits: 1, left: 1, ..Swept::default() });
    assert_eq!(world.records.keys(), Vec::<String>::new());
}

#[test]
fn the_sample_asks_for_all_repositories_and_a_misspelt_one_for_none() {
    let sample = include_str!("../../../../events/sweep.json");
    assert_eq!(serde_json::from_str::<SweepEvent>(sample).unwrap(), SweepEvent { sweep: Sweep::default() });
    serde_json::from_value::<SweepEvent>(json!({"sweep": {"repos": ["bank-payments"]}})).unwrap_err();
}

#[tokio::test]
async fn of_one_repository_alone_no_other_is_looked_at() {
    let mut world = World::new(5);
    world.upload_reports();
    world.lose_events();
    let of = async |repo: &str| {
        let asked = Sweep { repo: Some(repo.parse().unwrap()) };
        world.gate().sweep(&asked, deadline()).await.unwrap()
    };
    assert_eq!(of("bank-core").await, Swept::default());
    assert_eq!(of("bank-payments").await.settled, 1);
}

#[test]
fn where_there_are_many_commits_each_hour_takes_others_and_none_is_left_out() {
    let commits: Vec<_> = (0..12_000_u32)
        .map(|number| Commit { sha: Sha256::of(&number.to_be_bytes()).to_string()[..40].parse().unwrap(), ..commit() })
        .collect();
    let hour = |hour: i64| turn(&commits, Timestamp::from_second(hour * 3_600 + 17).unwrap());
    let mut seen: Vec<_> = (490_000..490_003).flat_map(hour).collect();
    assert!((490_000..490_003).all(|it| (3_500..4_500).contains(&hour(it).len())));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), commits.len());
    assert_eq!(turn(&commits[..5_000], Timestamp::UNIX_EPOCH).len(), 5_000, "so many are looked at each hour");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever was uploaded and deleted while nobody heard of it: a sweep comes to what its events would have come to.
    #[test]
    fn a_sweep_comes_to_what_the_events_would_have_come_to(
        heard in prop::collection::vec(change(), 0..8), lost in prop::collection::vec(change(), 0..8), seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut swept, mut told) = (World::new(seed), World::new(seed));
            for world in [&mut swept, &mut told] {
                for deed in &heard {
                    world.does(deed, ONE_BY_ONE).await;
                }
                world.drain(ONE_BY_ONE).await;
                for deed in &lost {
                    world.does(deed, ONE_BY_ONE).await;
                }
            }
            if swept.artefacts.list(&commit().prefix()).await.unwrap().is_empty() {
                return;
            }
            swept.lose_events();
            swept.swept().await;
            swept.drain(ONE_BY_ONE).await;
            told.drain(ONE_BY_ONE).await;
            let [one, other] = [swept.verdict(), told.verdict()];
            assert_eq!((one.outcome, &one.reasons), (other.outcome, &other.reasons));
            assert_eq!(swept.swept().await.settled, 0, "the next one finds nothing");
        });
    }
}

/// What CI may do.
fn change() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0..3_usize, prop::bool::weighted(0.8)).prop_map(|(report, good)| Deed::UploadReport { report, good, tagged: true }),
        1 => (0..3_usize).prop_map(Deed::DeleteReport),
        3 => (0..4_u8).prop_map(Deed::UploadManifest),
        1 => Just(Deed::DeleteManifest),
    ]
}
