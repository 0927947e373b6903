use gatekeeper_store::{WriteStore as _, memory::Memory};

use super::*;
use crate::{
    KeyHolder as _, LocalSigner,
    ledger::{Event, Kind, append},
};

const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);

fn chain() -> Chain {
    Chain { stage: "uat".parse().unwrap(), repo: "bank-payments".parse().unwrap() }
}

/// Where an entry lies.
fn entry(place: u64) -> String {
    RecordKey::LedgerEntry(chain(), place).to_string()
}

/// A ledger, its witness, and who signs.
struct World {
    records: Memory,
    witness: Memory,
    signer: LocalSigner,
}

impl World {
    fn new() -> Self {
        Self { records: Memory::default(), witness: Memory::default(), signer: LocalSigner::from_seed(1) }
    }

    /// A chain of entries, each of which the witness was given.
    async fn of(entries: u64) -> Self {
        let world = Self::new();
        for number in 1..=entries {
            world.append(number).await;
            assert_eq!(world.hand_over().await.unwrap(), Handed::Over(number));
        }
        world
    }

    async fn append(&self, number: u64) {
        self.append_as(&format!("{number}")).await;
    }

    async fn append_as(&self, id: &str) {
        let event = Event::bare(Kind::Promotion, id, "succeeded");
        append(&self.records, &self.signer, &chain(), &event, None, NOW).await.unwrap();
    }

    async fn hand_over(&self) -> Result<Handed, HandOverError> {
        let key = self.signer.trusted().await.unwrap();
        hand_over(&self.records, &self.witness, &chain(), None, &key).await
    }

    fn head(&self) -> Vec<u8> {
        self.records.bytes_of(&RecordKey::LedgerHead(chain()).to_string()).unwrap()
    }

    /// As whoever administers the records can: an older head back, and what stands above it away.
    fn roll_back(&self, head: &[u8], removed: impl IntoIterator<Item = u64>) {
        self.records.upload(&RecordKey::LedgerHead(chain()).to_string(), head, &[]);
        for place in removed {
            self.records.delete(&entry(place));
        }
    }

    async fn found_after(&self, minutes: i64) -> Option<(Code, String)> {
        let key = self.signer.trusted().await.unwrap();
        let look = look_at(&self.records, &self.witness, &chain(), &key).await.unwrap();
        let finding = compare(&chain(), &look, &key, NOW + SignedDuration::from_mins(minutes))?;
        assert_eq!(finding.subject, "uat/bank-payments");
        Some((finding.code, finding.message))
    }

    async fn code_after(&self, minutes: i64) -> Option<Code> {
        self.found_after(minutes).await.map(|(code, _)| code)
    }
}

#[tokio::test]
async fn a_chain_that_the_witness_has_seen_whole_holds_however_old_it_is() {
    for entries in [0, 1, 5] {
        assert_eq!(World::of(entries).await.found_after(1_000_000).await, None, "{entries}");
    }
}

#[tokio::test]
async fn a_tail_that_was_removed_with_its_head_is_found() {
    let world = World::of(3).await;
    let old = world.head();
    world.append(4).await;
    world.hand_over().await.unwrap();
    world.roll_back(&old, [4]);
    let (code, message) = world.found_after(0).await.unwrap();
    assert_eq!(code, Code::LedgerRolledBack);
    assert!(message.starts_with("it ends at entry 3, and the witness has seen entry 4, `"), "{message}");
    assert_eq!(world.hand_over().await.unwrap(), Handed::Before(3), "an older head tells the witness nothing new");
    assert_eq!(world.code_after(0).await, Some(Code::LedgerRolledBack));
}

#[tokio::test]
async fn a_chain_that_was_removed_whole_is_found() {
    let world = World::of(2).await;
    for key in world.records.keys() {
        world.records.delete(&key);
    }
    let (code, message) = world.found_after(0).await.unwrap();
    assert_eq!(code, Code::LedgerRolledBack);
    assert!(message.starts_with("it is empty, and the witness has seen entry 2, `"), "{message}");
    assert_eq!(world.hand_over().await.unwrap(), Handed::Nothing);
}

/// What goes on from an older head is signed by the gatekeeper itself, and no length of it hides what was removed.
#[tokio::test]
async fn a_chain_that_goes_on_from_an_older_head_is_found_however_far_it_goes() {
    let world = World::of(3).await;
    let old = world.head();
    world.append(4).await;
    world.hand_over().await.unwrap();
    world.roll_back(&old, [4]);
    for number in 0..40 {
        world.append_as(&format!("other-{number}")).await;
        let error = world.hand_over().await.unwrap_err();
        assert!(matches!(error, HandOverError::RolledBack { .. }), "{error}");
        let code = world.code_after(0).await;
        let expected = if number <= MAX_LACKING { Code::LedgerRolledBack } else { Code::WitnessBehind };
        assert_eq!(code, Some(expected), "{number}: of so many nothing is read, and the witness is behind");
    }
    assert_eq!(world.witness.keys().len(), 4, "the witness has none of it");
}

/// The true entry put back below entries that don't go on from it.
#[tokio::test]
async fn an_entry_that_does_not_go_on_from_the_witnessed_one_is_found() {
    let world = World::of(3).await;
    let old = world.head();
    world.append(4).await;
    world.hand_over().await.unwrap();
    let seen = world.records.bytes_of(&entry(4)).unwrap();
    world.roll_back(&old, [4]);
    for number in 0..3 {
        world.append_as(&format!("other-{number}")).await;
    }
    world.records.upload(&entry(4), &seen, &[]);
    let (code, message) = world.found_after(0).await.unwrap();
    assert_eq!(code, Code::LedgerRolledBack);
    assert!(message.starts_with("entry 5 does not go on from the one before"), "{message}");
}

#[tokio::test]
async fn an_entry_that_is_missing_between_is_found() {
    let world = World::of(2).await;
    for number in 3..=5 {
        world.append(number).await;
    }
    assert_eq!(world.found_after(0).await, None);
    for place in [2, 3, 4] {
        let bytes = world.records.bytes_of(&entry(place)).unwrap();
        world.records.delete(&entry(place));
        let (code, message) = world.found_after(0).await.unwrap();
        assert_eq!(code, Code::LedgerRolledBack);
        assert!(message.starts_with(&format!("entry {place} is missing")), "{message}");
        world.records.upload(&entry(place), &bytes, &[]);
    }
}

#[tokio::test]
async fn a_witness_has_ten_minutes_from_the_first_entry_that_it_lacks() {
    let world = World::of(1).await;
    world.append(2).await;
    assert_eq!(world.found_after(9).await, None);
    let (code, message) = world.found_after(10).await.unwrap();
    assert_eq!(code, Code::WitnessBehind);
    insta::assert_snapshot!(message, @r#"the newest that it has is entry 1, of 2; it lacks entry 2, which was written at 2025-06-15T15:06:40Z: see whether the function `witness` fails, and invoke it with `{"catch_up": true}`"#);

    // A chain that grows all the time makes it no younger.
    let event = Event::bare(Kind::Promotion, "3", "succeeded");
    let later = NOW + SignedDuration::from_mins(9);
    append(&world.records, &world.signer, &chain(), &event, None, later).await.unwrap();
    assert_eq!(world.code_after(10).await, Some(Code::WitnessBehind));
    assert_eq!(world.hand_over().await.unwrap(), Handed::Over(3), "and catching up needs no head of between");
    assert_eq!(world.found_after(1_000).await, None);

    let never = World::new();
    never.append(1).await;
    assert_eq!((never.code_after(9).await, never.code_after(10).await), (None, Some(Code::WitnessBehind)));
    for number in 2..=20 {
        never.append(number).await;
    }
    assert_eq!(never.code_after(0).await, Some(Code::WitnessBehind), "it lacks too many");
}

#[tokio::test]
async fn what_can_not_be_read_of_the_witness_is_told_and_never_taken_for_nothing() {
    let unreachable = async |world: &World| {
        let (code, message) = world.found_after(0).await.unwrap();
        assert_eq!(code, Code::WitnessUnreachable);
        world.hand_over().await.unwrap_err();
        message
    };
    let newest = |place| WitnessKey::Head(chain(), place).to_string();
    let world = World::of(2).await;
    world.witness.delete(&newest(2));
    assert!(unreachable(&world).await.contains("a delete marker hides it"));

    let world = World::of(2).await;
    let head = world.head();
    world.append(3).await;
    world.witness.upload(&newest(3), &head, &[]);
    let told = unreachable(&world).await;
    assert_eq!(told, "at place 3 it has a head that is about entry 2");
    world.witness.upload(&newest(3), b"{}", &[]);
    assert!(unreachable(&world).await.starts_with("the head that it has at place 3: not a signed statement"));

    let world = World::of(2).await;
    world.witness.upload("heads/uat/bank-payments/0.json", &head, &[]);
    assert_eq!(unreachable(&world).await, "`heads/uat/bank-payments/0.json` is no place of a head");

    let world = World::of(2).await;
    world.witness.deny("heads/uat/bank-payments/1");
    assert!(unreachable(&world).await.contains("AccessDenied"));
    let world = World::of(2).await;
    world.witness.deny("heads/");
    assert!(unreachable(&world).await.contains("AccessDenied"));
}

#[tokio::test]
async fn every_head_that_the_witness_has_is_held_against_its_entry() {
    let every = async |world: &World| {
        let found = every(&world.records, &world.witness, &chain(), &world.signer.keys()).await.unwrap();
        found.map(|it| (it.code, it.message))
    };
    let world = World::of(5).await;
    world.witness.upload(&WitnessKey::Timestamp(chain(), 5).to_string(), b"an answer", &[]);
    assert_eq!((every(&world).await, world.found_after(60).await), (None, None), "a timestamp is no head");
    let (second, third) = (world.records.bytes_of(&entry(2)).unwrap(), entry(3));
    world.records.upload(&third, &second, &[]);
    let (code, message) = every(&world).await.unwrap();
    assert!(code == Code::LedgerRolledBack && message.starts_with("entry 3 is `"), "{message}");
    assert_eq!(world.found_after(0).await, None, "which the newest alone does not tell; proving the chain does");
    world.witness.upload(&WitnessKey::Head(chain(), 1).to_string(), b"{}", &[]);
    assert_eq!(every(&world).await.unwrap().0, Code::WitnessUnreachable);
}

/// Somebody appends between the look at the head and the one at the witness.
#[tokio::test]
async fn a_head_that_was_read_too_early_is_read_again() {
    let world = World::of(2).await;
    let (key, early) = (world.signer.keys(), world.head());
    world.append(3).await;
    world.hand_over().await.unwrap();
    world.append(4).await;
    let newest = newest(&world.witness, &chain()).await;
    let look = look(&world.records, &world.witness, &chain(), Some(early), &newest, &key).await.unwrap();
    assert_eq!(compare(&chain(), &look, &key, NOW), None);
}

#[tokio::test(start_paused = true)]
async fn a_look_takes_one_round_trip_after_the_first() {
    let world = World::of(3).await;
    for number in 4..=9 {
        world.append(number).await;
    }
    let (key, latency) = (world.signer.keys(), std::time::Duration::from_millis(30));
    world.records.answer_after(latency);
    world.witness.answer_after(latency);
    let started = tokio::time::Instant::now();
    look_at(&world.records, &world.witness, &chain(), &key).await.unwrap();
    assert_eq!(started.elapsed(), 2 * latency);
}

#[tokio::test]
async fn two_invocations_that_hand_over_the_same_head_agree() {
    let world = World::of(1).await;
    world.append(2).await;
    let (one, other) = join(world.hand_over(), world.hand_over()).await;
    let mut handed = [one.unwrap(), other.unwrap()];
    handed.sort_by_key(|it| matches!(it, Handed::Before(_)));
    assert!(matches!(handed, [Handed::Over(2), Handed::Over(2) | Handed::Before(2)]), "{handed:?}");
    assert_eq!(world.hand_over().await.unwrap(), Handed::Before(2));
}

#[tokio::test]
async fn a_version_of_a_head_is_handed_over_though_another_was_put_over_it() {
    let world = World::of(1).await;
    let old = world.head();
    world.append(2).await;
    let head_key = RecordKey::LedgerHead(chain()).to_string();
    let version = world.records.head(&head_key, None).await.unwrap().unwrap().version_id;
    world.roll_back(&old, []);
    let key = world.signer.keys();
    let handed = hand_over(&world.records, &world.witness, &chain(), Some(&version), &key).await.unwrap();
    assert_eq!(handed, Handed::Over(2), "before anybody could hide it");
    assert_eq!(world.code_after(0).await, Some(Code::LedgerRolledBack));
}

#[tokio::test]
async fn what_nobody_signed_is_not_handed_over() {
    let world = World::of(1).await;
    let head_key = RecordKey::LedgerHead(chain()).to_string();
    world.records.upload(&head_key, b"{}", &[]);
    let error = world.hand_over().await.unwrap_err();
    assert!(matches!(error, HandOverError::Head { .. }), "{error}");
    assert_eq!(world.code_after(0).await, Some(Code::LedgerRolledBack), "and no head that proves nothing holds");

    // Of another key, or of another chain.
    let stranger = World { records: Memory::default(), witness: Memory::default(), signer: LocalSigner::from_seed(9) };
    stranger.append(1).await;
    world.records.upload(&head_key, &stranger.head(), &[]);
    assert!(matches!(world.hand_over().await.unwrap_err(), HandOverError::Head { .. }));
    assert_eq!(world.witness.keys().len(), 1);
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_done() {
    let world = World::of(1).await;
    world.append(2).await;
    world.witness.lose_answers([(1, gatekeeper_store::memory::Lost::Retried)]);
    assert_eq!(world.hand_over().await.unwrap(), Handed::Over(2));
    let bytes = world.witness.bytes_of(&WitnessKey::Head(chain(), 2).to_string()).unwrap();
    let again = world.witness.put("x", &bytes, "application/json", &gatekeeper_store::Precondition::Absent).await;
    assert!(again.is_ok() && bytes == world.head());
}
