//! The laws of convergence, over the memory store: whatever happens in whatever order, the end is the same.

use std::{
    collections::VecDeque,
    sync::{Arc, LazyLock, Mutex},
};

use futures_util::future;
use gatekeeper_model::{
    event::{Batch, Change, Record},
    finding::Code,
    front_matter::{BuildStatus, FrontMatter},
    ids::{ModuleId, Sha256, VersionId},
    store_key::Form,
    telemetry,
    verdict::{Outcome, Revocation, Verdict},
};
use gatekeeper_proof::{LocalSigner, ledger};
use gatekeeper_store::{
    Written,
    memory::{Lost, Memory},
    record,
    revocation::StoredRevocation,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[path = "batch_tests.rs"]
mod batches;
#[path = "forgery_tests.rs"]
mod forgery;
#[path = "many_commits_tests.rs"]
mod many_commits;
#[path = "provenance_tests.rs"]
mod provenance;
#[path = "sweep_tests.rs"]
mod sweep;

/// The gate's key.
static SIGNER: LazyLock<LocalSigner> = LazyLock::new(|| LocalSigner::from_seed(1));
const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
const REPORTS: [&str; 3] = ["unit.xml", "policy.xml", "integration.xml"];

/// A report that shows what the manifest says.
fn content(report: &str) -> String {
    let tests = if report == "unit.xml" { 2 } else { 3 };
    let cases = (0..tests).map(|number| format!("<testcase classname='{number}' name='t'/>"));
    format!("<testsuite name='{report}'>{}</testsuite>", cases.collect::<String>())
}

fn commit() -> Commit {
    Commit { repo: "bank-payments".parse().unwrap(), sha: SHA.parse().unwrap() }
}

fn key(path: &str) -> String {
    format!("{}{path}", commit().prefix())
}

/// Two buckets and the events between them.
struct World {
    artefacts: Memory,
    records: Memory,
    /// What is to be delivered, and whether it was before.
    pending: VecDeque<(Event, bool)>,
}

/// How events are delivered.
#[derive(Debug, Clone, Copy)]
struct Delivery {
    /// Invocations at once.
    at_once: usize,
    /// Events in the batch of each.
    size: usize,
    /// Of each event.
    copies: usize,
}

const ONE_BY_ONE: Delivery = Delivery { at_once: 1, size: 1, copies: 1 };

impl World {
    fn new(seed: u64) -> Self {
        Self { artefacts: Memory::with_seed(seed), records: Memory::with_seed(!seed), pending: VecDeque::new() }
    }

    fn gate(&self) -> Gate<'_, Memory> {
        Gate {
            artefacts: &self.artefacts,
            records: &self.records,
            log: Logger::silent(),
            clock: || "2026-05-02T03:10:00Z".parse().unwrap(),
            scratch: std::env::temp_dir(),
            signer: &*SIGNER,
            verifier: &NoVerifier,
        }
    }

    fn upload_reports(&self) {
        for report in REPORTS {
            self.artefacts.upload(&key(&format!("reports/{report}")), content(report).as_bytes(), &[]);
        }
    }

    fn upload_manifest(&self, change: impl FnOnce(&mut Value)) {
        let mut manifest = manifest();
        change(&mut manifest);
        self.artefacts.upload(&key("build-manifest.json"), manifest.to_string().as_bytes(), &[]);
    }

    fn take_events(&mut self) {
        self.pending.extend(self.artefacts.take_events().into_iter().map(|event| (event, false)));
    }

    /// Delivers what is pending until nothing comes back.
    async fn drain(&mut self, delivery: Delivery) {
        let mut last_error = None;
        for _ in 0..1_000 {
            self.take_events();
            if self.pending.is_empty() {
                return;
            }
            last_error = self.deliver(delivery.at_once * delivery.size, delivery).await.or(last_error);
        }
        panic!("the events never end: a loop; {last_error:?}");
    }

    /// Delivers so many of the pending events in batches; gives an error. One that fails comes again, as from a queue.
    async fn deliver(&mut self, count: usize, Delivery { at_once, size, copies }: Delivery) -> Option<String> {
        let count = self.pending.len().min(count);
        let events: Vec<_> = self.pending.drain(..count).flat_map(|event| vec![event; copies]).collect();
        let mut first = None;
        for events in events.chunks(at_once * size) {
            let batches: Vec<_> = events.chunks(size).map(batch).collect();
            let gate = self.gate();
            let own = ["gate".to_owned()];
            let settled = future::join_all(batches.iter().map(|batch| gate.settle_messages(batch, &own))).await;
            for (events, (answer, error)) in events.chunks(size).zip(settled) {
                first = first.or(error);
                let failed = answer.failures.iter().map(|it| events[it.message_id.parse::<usize>().unwrap()].0.clone());
                self.pending.extend(failed.map(|event| (event, true)));
            }
        }
        first
    }

    async fn settled(&mut self) -> Verdict {
        self.drain(ONE_BY_ONE).await;
        self.verdict()
    }

    fn verdict(&self) -> Verdict {
        let bytes = self.records.bytes_of(&RecordKey::Verdict(commit()).to_string()).expect("a verdict");
        serde_json::from_slice(&bytes).unwrap()
    }

    fn tag(&self, path: &str) -> Option<String> {
        self.artefacts.tags_of(&key(path)).get(judgement::INTEGRATION_PASSED).cloned()
    }

    /// Verdict and tags say what is stored, and another look changes nothing.
    async fn assert_settled(&mut self) {
        let (commit, now) = (commit(), "2026-05-02T03:10:00Z".parse().unwrap());
        let stored =
            check(&self.artefacts, &self.records, &commit, &NoVerifier, &std::env::temp_dir(), now).await.unwrap();
        let verdict = self.verdict();
        if stored.manifest_version_id.is_some() || verdict.manifest_version_id.is_some() {
            assert!(verdict.says_the_same_as(&stored), "{verdict:#?}\n{stored:#?}");
        } else {
            assert_eq!(verdict.outcome, Outcome::Incomplete);
        }
        let wanted = verdict.outcome.integration_passed().to_string();
        for stored in self.artefacts.keys() {
            let tag = self.artefacts.tags_of(&stored).get(judgement::INTEGRATION_PASSED).cloned();
            assert_eq!(tag.as_ref(), Some(&wanted), "{stored} of a commit that is {}", verdict.outcome);
        }
        let (_, before, _) = self.artefacts.counts();
        let (_, records_before, _) = self.records.counts();
        for stored in self.artefacts.keys() {
            let event = event(Change::Tagged, &stored);
            self.gate().settle(&event).await.unwrap();
        }
        assert_eq!((self.artefacts.counts().1, self.records.counts().1), (before, records_before), "not quiet");
    }
}

fn batch(events: &[(Event, bool)]) -> Batch {
    let record = |(place, (event, comes_again)): (usize, &(Event, bool))| Record {
        message_id: place.to_string(),
        events: Ok(vec![event.clone()]),
        comes_again: *comes_again,
    };
    Batch { records: events.iter().enumerate().map(record).collect(), from_queue: true }
}

fn event(change: Change, key: &str) -> Event {
    Event {
        at: None,
        change,
        bucket: "memory".into(),
        key: key.into(),
        version_id: None,
        principal: Some("AWS:X:ci".into()),
    }
}

fn manifest() -> Value {
    let reports = REPORTS.map(|name| {
        let (content, suite) = (content(name), if name == "policy.xml" { "other" } else { name.trim_end_matches(".xml") });
        json!({
            "suite": suite, "format": "junit", "file": name, "sha256": Sha256::of(content.as_bytes()), "size": content.len()
        })
    });
    json!({
        "schema_version": 1, "repo": "bank-payments", "commit_sha": SHA, "branch": "main",
        "timestamp": "2026-05-02T03:04:05Z", "modules": [{"id": "MOD-012"}], "reports": reports,
        "tests": {
            "typecheck": {"errors": 0},
            "unit": {"passed": 2, "failed": 0, "line_coverage": 90, "function_coverage": 90},
            "policy": {"passed": 1, "failed": 0, "policies_satisfied": ["POL-004"]},
            "integration": {"passed": 3, "failed": 0, "skipped": 0, "run_integration": true}
        },
        "deploy": {"stage": "dev", "succeeded": true}
    })
}

fn registered(manifest: &mut Value) {
    manifest["tests"].as_object_mut().unwrap().remove("integration");
}

#[tokio::test]
async fn artefacts_before_their_manifest_are_incomplete_then_built() {
    let mut world = World::new(1);
    world.upload_reports();
    assert_eq!(world.settled().await.outcome, Outcome::Incomplete);
    assert_eq!(world.tag("reports/unit.xml").as_deref(), Some("false"));
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    world.assert_settled().await;
}

#[tokio::test]
async fn a_manifest_before_its_artefacts_waits_for_them() {
    let mut world = World::new(2);
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Incomplete);
    world.upload_reports();
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    world.assert_settled().await;
}

#[tokio::test]
async fn registered_then_built_by_the_final_manifest_and_each_module_has_its_handoff() {
    let mut world = World::new(3);
    world.upload_reports();
    world.upload_manifest(registered);
    assert_eq!(world.settled().await.outcome, Outcome::Registered);
    let handoff = RecordKey::BuiltHandoff(commit(), "MOD-012".parse().unwrap()).to_string();
    assert_eq!(world.records.bytes_of(&handoff), None);
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    let text = String::from_utf8(world.records.bytes_of(&handoff).unwrap()).unwrap();
    assert!(text.contains("build_status: Built"), "{text}");
}

#[tokio::test]
async fn an_artefact_overwritten_after_built_rejects_until_it_is_restored() {
    let mut world = World::new(4);
    world.upload_reports();
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    world.artefacts.upload(&key("reports/unit.xml"), b"other", &[("integration-passed", "true")]);
    assert_eq!(world.settled().await.outcome, Outcome::Rejected);
    world.assert_settled().await;
    world.artefacts.upload(&key("reports/unit.xml"), content("unit.xml").as_bytes(), &[]);
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    world.assert_settled().await;
}

#[tokio::test]
async fn a_forged_tag_is_set_back_a_deleted_one_restored_and_others_tags_kept() {
    let mut world = World::new(5);
    world.upload_reports();
    world.upload_manifest(registered);
    world.settled().await;
    for path in ["reports/unit.xml", "build-manifest.json"] {
        world.artefacts.tag(&key(path), &[("integration-passed", "true"), ("team", "payments")], "mallory");
        assert_eq!(world.settled().await.outcome, Outcome::Registered);
        assert_eq!(world.tag(path).as_deref(), Some("false"));
        assert_eq!(world.artefacts.tags_of(&key(path)).get("team").map(String::as_str), Some("payments"));
    }
    world.artefacts.tag(&key("reports/policy.xml"), &[], "mallory");
    world.settled().await;
    world.assert_settled().await;
}

#[tokio::test]
async fn a_hand_on_the_brake_revokes_until_a_new_manifest() {
    let mut world = World::new(6);
    world.upload_reports();
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    world.artefacts.tag(&key("build-manifest.json"), &[("integration-passed", "false")], "AWS:X:jane");
    let verdict = world.settled().await;
    assert_eq!(verdict.outcome, Outcome::Revoked);
    assert!(verdict.reasons[0].message.contains("AWS:X:jane"), "{:?}", verdict.reasons);
    world.assert_settled().await;
    let module: ModuleId = "MOD-012".parse().unwrap();
    let revoked = RecordKey::RevokedHandoff(commit(), module.clone()).to_string();
    let document = |key: &str| String::from_utf8(world.records.bytes_of(key).unwrap()).unwrap();
    let told = FrontMatter::of(&document(&revoked)).unwrap();
    assert_eq!(told.build_status, BuildStatus::Revoked);
    let built = RecordKey::BuiltHandoff(commit(), module).to_string();
    assert_eq!(
        (told.supersedes.as_deref(), told.evidence),
        (Some(built.as_str()), RecordKey::Revocation(commit()).to_string())
    );
    assert!(document(&revoked).contains("AWS:X:jane"), "{}", document(&revoked));
    // Asking for it again does not bring it back; a new build does.
    let writes = world.records.counts().1;
    world.artefacts.tag(&key("build-manifest.json"), &[("integration-passed", "true")], "AWS:X:ci");
    assert_eq!(world.settled().await.outcome, Outcome::Revoked);
    assert_eq!(world.records.counts().1, writes, "it is handed off once");
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    world.assert_settled().await;
}

#[tokio::test]
async fn what_is_built_again_after_it_was_taken_back_is_handed_off_again() {
    let mut world = World::new(7);
    world.upload_reports();
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    world.artefacts.tag(&key("build-manifest.json"), &[("integration-passed", "false")], "AWS:X:jane");
    assert_eq!(world.settled().await.outcome, Outcome::Revoked);
    let module: ModuleId = "MOD-012".parse().unwrap();
    let [built, revoked] =
        [RecordKey::BuiltHandoff, RecordKey::RevokedHandoff].map(|it| it(commit(), module.clone()).to_string());
    // The clock of these tests stands still: what was Built was so a minute before.
    let read = |key: &str| String::from_utf8(world.records.bytes_of(key).unwrap()).unwrap();
    for (key, at) in [(&built, "03:08:00Z"), (&revoked, "03:09:00Z")] {
        let earlier = read(key).replace("03:10:00Z", at);
        world.records.upload(key, earlier.as_bytes(), &[]);
    }
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    let again = FrontMatter::of(&String::from_utf8(world.records.bytes_of(&built).unwrap()).unwrap()).unwrap();
    assert_eq!((again.build_status, again.supersedes.as_deref()), (BuildStatus::Built, Some(revoked.as_str())));
    assert_eq!(again.timestamp.to_string(), "2026-05-02T03:10:00Z");
}

#[tokio::test]
async fn a_revocation_that_cannot_be_read_takes_the_commit_back_until_one_is_written_over_it() {
    let revocation_key = RecordKey::Revocation(commit());
    let told = |manifest_version_id: VersionId| Revocation {
        schema_version: 1,
        repo: commit().repo,
        commit_sha: commit().sha,
        manifest_version_id,
        revoked_by: "jane".to_owned(),
        revoked_at: "2026-05-02T03:04:05Z".parse().unwrap(),
        reason: "rounds down".to_owned(),
    };
    let large = "x".repeat(80_000);
    for (seed, unreadable) in (20..).zip(["{}", "", "null", "[1", "\"jane\"", large.as_str()]) {
        let mut world = World::new(seed);
        world.upload_reports();
        world.upload_manifest(|_| {});
        assert_eq!(world.settled().await.outcome, Outcome::Built);
        world.records.upload(&revocation_key.to_string(), unreadable.as_bytes(), &[]);

        // Whatever happens next is an event that settles, and no dead letter.
        world.artefacts.tag(&key("reports/unit.xml"), &[], "AWS:X:ci");
        world.artefacts.tag(&key("build-manifest.json"), &[("integration-passed", "true")], "AWS:X:ci");
        let verdict = world.settled().await;
        assert_eq!(verdict.outcome, Outcome::Revoked, "{unreadable}");
        assert_eq!(verdict.reasons.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::Revoked]);
        assert!(verdict.reasons[0].message.contains("can't be read"), "{:?}", verdict.reasons);
        world.assert_settled().await;

        // Nor does a new manifest get around it: of which one it was nobody knows.
        world.upload_manifest(|_| {});
        assert_eq!(world.settled().await.outcome, Outcome::Revoked);
        world.assert_settled().await;

        // `gatekeeper revoke` writes over it, and pulls the brake.
        let manifest = world.artefacts.head(&key("build-manifest.json"), None).await.unwrap().unwrap().version_id;
        let stored = gatekeeper_store::revocation::read(&world.records, &commit()).await.unwrap();
        let over = StoredRevocation::precondition(stored.as_ref());
        let written = record::write(&world.records, &revocation_key, &told(manifest), &over).await.unwrap();
        assert!(matches!(written, Written::Done { .. }), "{written:?}");
        world.artefacts.tag(&key("build-manifest.json"), &[("integration-passed", "false")], "AWS:X:jane");
        let verdict = world.settled().await;
        assert_eq!(
            (verdict.outcome, verdict.reasons[0].message.as_str()),
            (Outcome::Revoked, "taken back by `jane`: rounds down")
        );
        world.assert_settled().await;
        let entries: Vec<_> =
            world.records.keys().into_iter().filter(|key| key.starts_with("ledger/gate/bank-payments/0")).collect();
        let newest = world.records.bytes_of(entries.last().unwrap()).unwrap();
        assert!(String::from_utf8(newest).unwrap().contains("rounds down"), "the ledger tells of it too");

        // Now it is of one manifest, and another one starts afresh.
        world.upload_manifest(|_| {});
        assert_eq!(world.settled().await.outcome, Outcome::Built);
        world.assert_settled().await;
    }
}

#[tokio::test]
async fn a_revocation_of_another_commit_gets_into_no_other_chain_of_the_ledger() {
    let mut world = World::new(30);
    world.upload_reports();
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    let manifest = world.verdict().manifest_version_id.unwrap();
    let foreign = json!({"schema_version": 1, "repo": "bank-kyc", "commit_sha": SHA, "manifest_version_id": manifest,
        "revoked_by": "jane", "revoked_at": "2026-05-02T03:04:05Z", "reason": "rounds down"});
    world.records.upload(&RecordKey::Revocation(commit()).to_string(), foreign.to_string().as_bytes(), &[]);
    world.artefacts.tag(&key("build-manifest.json"), &[("integration-passed", "true")], "AWS:X:ci");
    let verdict = world.settled().await;
    assert!(verdict.reasons[0].message.contains("it is of `bank-kyc@"), "{:?}", verdict.reasons);
    assert!(!world.records.keys().iter().any(|key| key.starts_with("ledger/gate/bank-kyc/")));
}

#[tokio::test]
async fn an_object_uploaded_in_parts_is_hashed_once() {
    let mut world = World::new(7);
    for report in REPORTS {
        world.artefacts.upload_in_parts(&key(&format!("reports/{report}")), content(report).as_bytes());
    }
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    let (_, _, bodies) = world.artefacts.counts();
    world.assert_settled().await;
    assert_eq!(world.artefacts.counts().2, bodies, "the digest of a version never changes");
}

#[tokio::test]
async fn a_removed_artefact_makes_the_commit_incomplete() {
    let mut world = World::new(8);
    world.upload_reports();
    world.upload_manifest(|_| {});
    world.settled().await;
    world.artefacts.delete(&key("reports/unit.xml"));
    assert_eq!(world.settled().await.outcome, Outcome::Incomplete);
    world.assert_settled().await;
}

#[tokio::test]
async fn a_key_outside_the_layout_is_tagged_false_and_judged_no_commit() {
    let mut world = World::new(9);
    world.upload_reports();
    world.upload_manifest(|_| {});
    world.settled().await;
    world.artefacts.upload(&key("notes.txt"), b"hello", &[("integration-passed", "true")]);
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    assert_eq!(world.tag("notes.txt").as_deref(), Some("false"));
}

#[tokio::test]
async fn killed_at_any_call_and_delivered_again_it_ends_the_same() {
    for at in 1.. {
        let mut world = World::new(10);
        world.upload_reports();
        world.upload_manifest(|_| {});
        let events = world.artefacts.take_events();
        world.artefacts.fail_at_call(Some(at));
        world.records.fail_at_call(Some(at));
        let mut killed = false;
        for event in events {
            if world.gate().settle(&event).await.is_err() {
                killed = true;
                world.pending.push_back((event, true));
            }
        }
        world.artefacts.fail_at_call(None);
        world.records.fail_at_call(None);
        assert_eq!(world.settled().await.outcome, Outcome::Built, "killed at call {at}");
        world.assert_settled().await;
        if !killed {
            return;
        }
    }
}

#[tokio::test]
async fn an_artefact_that_arrives_while_the_manifest_is_judged_is_seen() {
    for turns in 0..120 {
        let mut world = World::new(turns);
        world.upload_reports();
        world.artefacts.delete(&key("reports/unit.xml"));
        world.drain(ONE_BY_ONE).await;
        world.upload_manifest(|_| {});
        let manifest = world.artefacts.take_events();
        let gate = world.gate();
        let judging = gate.settle(&manifest[0]);
        let arriving = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            // With its tag already `false` the gate has nothing to write, so nothing of its own comes back.
            world.artefacts.upload(
                &key("reports/unit.xml"),
                content("unit.xml").as_bytes(),
                &[("integration-passed", "false")],
            );
            gate.settle(&event(Change::Created, &key("reports/unit.xml"))).await
        };
        future::try_join(judging, arriving).await.unwrap();
        assert_eq!(world.verdict().outcome, Outcome::Built, "arrived after {turns} turns");
    }
}

#[tokio::test]
async fn a_glance_is_enough_for_the_gates_own_tag_writes() {
    let mut world = World::new(11);
    world.upload_reports();
    world.upload_manifest(|_| {});
    world.settled().await;
    let (before, _, _) = world.artefacts.counts();
    world.gate().settle(&event(Change::Tagged, &key("reports/unit.xml"))).await.unwrap();
    assert_eq!(world.artefacts.counts().0 - before, 3, "what is there, and the tags of the object and of its manifest");
}

/// Something that a stranger does.
#[derive(Debug, Clone)]
enum Deed {
    UploadReport {
        report: usize,
        good: bool,
        tagged: bool,
    },
    DeleteReport(usize),
    UploadManifest(u8),
    DeleteManifest,
    Tag(usize, Option<bool>),
    TagManifest(Option<bool>),
    /// How many of the pending events are delivered before the next deed.
    Deliver(usize),
    /// The same, and who takes them is killed at a call.
    Die(usize, u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    let report = 0..REPORTS.len();
    prop_oneof![
        4 => (report.clone(), prop::bool::weighted(0.8), any::<bool>())
            .prop_map(|(report, good, tagged)| Deed::UploadReport { report, good, tagged }),
        1 => report.clone().prop_map(Deed::DeleteReport),
        4 => (0..4_u8).prop_map(Deed::UploadManifest),
        1 => Just(Deed::DeleteManifest),
        2 => (report, any::<Option<bool>>()).prop_map(|(report, tag)| Deed::Tag(report, tag)),
        2 => any::<Option<bool>>().prop_map(Deed::TagManifest),
        3 => (0..12_usize).prop_map(Deed::Deliver),
        1 => (1..12_usize, 1..40_u64).prop_map(|(count, at)| Deed::Die(count, at)),
    ]
}

impl World {
    async fn does(&mut self, deed: &Deed, delivery: Delivery) {
        let tag = |tag: &Option<bool>| match tag {
            None => vec![],
            Some(true) => vec![("integration-passed", "true")],
            Some(false) => vec![("integration-passed", "false")],
        };
        match deed {
            // ADR-053 step 6 uploads with the tag `false`: then the gate has nothing to write, and nothing comes back.
            Deed::UploadReport { report, good, tagged } => {
                let name = REPORTS[*report];
                let bytes = if *good { content(name) } else { content(name).replace("'t'", "'u'") };
                let tags = tag(&tagged.then_some(false));
                self.artefacts.upload(&key(&format!("reports/{name}")), bytes.as_bytes(), &tags);
            }
            Deed::DeleteReport(report) => self.artefacts.delete(&key(&format!("reports/{}", REPORTS[*report]))),
            Deed::UploadManifest(kind) => self.upload_manifest(|manifest| match kind {
                0 | 1 => {}
                2 => registered(manifest),
                _ => manifest["tests"]["unit"]["failed"] = json!(1),
            }),
            Deed::DeleteManifest => self.artefacts.delete(&key("build-manifest.json")),
            Deed::Tag(report, value) => {
                self.artefacts.tag(&key(&format!("reports/{}", REPORTS[*report])), &tag(value), "mallory");
            }
            Deed::TagManifest(value) => self.artefacts.tag(&key("build-manifest.json"), &tag(value), "mallory"),
            Deed::Deliver(count) => {
                self.take_events();
                self.deliver(*count, delivery).await;
            }
            Deed::Die(count, at) => {
                self.take_events();
                self.artefacts.fail_at_call(Some(*at));
                self.records.fail_at_call(Some(*at));
                self.deliver(*count, delivery).await;
                self.artefacts.fail_at_call(None);
                self.records.fail_at_call(None);
            }
        }
    }
}

/// Which writes lose their answers, and how.
fn lost() -> impl Strategy<Value = Vec<(u64, Lost)>> {
    let how = prop_oneof![Just(Lost::Served), Just(Lost::Retried), Just(Lost::Unserved)];
    prop_oneof![2 => Just(Vec::new()), 3 => prop::collection::vec((1..60_u64, how), 1..8)]
}

/// What happens to a commit after it was Built, one after the other, and what it is then.
const DEEDS: [(&str, Outcome); 5] = [
    ("an artefact is overwritten", Outcome::Rejected),
    ("it is restored", Outcome::Built),
    ("the manifest is uploaded without integration tests", Outcome::Registered),
    ("the manifest is uploaded again", Outcome::Built),
    ("the brake is pulled", Outcome::Revoked),
];

fn do_deed(world: &World, deed: &str) {
    match deed {
        "an artefact is overwritten" => drop(world.artefacts.upload(&key("reports/unit.xml"), b"other", &[])),
        "it is restored" => drop(world.artefacts.upload(&key("reports/unit.xml"), content("unit.xml").as_bytes(), &[])),
        "the manifest is uploaded without integration tests" => world.upload_manifest(registered),
        "the manifest is uploaded again" => world.upload_manifest(|_| {}),
        _ => world.artefacts.tag(&key("build-manifest.json"), &[("integration-passed", "false")], "AWS:X:jane"),
    }
}

#[tokio::test]
async fn whichever_answer_to_a_write_is_lost_it_ends_the_same() {
    for lost in [Lost::Served, Lost::Retried, Lost::Unserved] {
        for (in_records, number) in (1..14).flat_map(|number| [(true, number), (false, number)]) {
            let mut world = World::new(number);
            let lose = |world: &World| {
                let store = if in_records { &world.records } else { &world.artefacts };
                store.lose_answers([(number, lost)]);
            };
            world.upload_reports();
            world.upload_manifest(|_| {});
            lose(&world);
            assert_eq!(world.settled().await.outcome, Outcome::Built, "{lost:?} at write {number}");
            for (deed, outcome) in DEEDS {
                do_deed(&world, deed);
                lose(&world);
                assert_eq!(world.settled().await.outcome, outcome, "{deed}, {lost:?} at write {number}");
                world.artefacts.lose_answers([]);
                world.records.lose_answers([]);
                world.assert_settled().await;
            }
            let chain = gatekeeper_model::ids::Chain::of_gate(commit().repo);
            let proof = ledger::verify(&world.records, &chain, None, &SIGNER.keys()).await.unwrap();
            assert_eq!((proof.newest, proof.broken), (1, None), "{lost:?} at write {number}");
        }
    }
}

/// Only the event that was at work comes again: what the one who was killed had written tells nobody of it.
#[tokio::test]
async fn killed_at_any_call_of_any_change_and_told_again_it_ends_the_same() {
    for (index, (deed, outcome)) in DEEDS.into_iter().enumerate() {
        for at in 1.. {
            let mut world = World::new(at);
            world.upload_reports();
            world.upload_manifest(|_| {});
            world.settled().await;
            for (before, _) in DEEDS.into_iter().take(index) {
                do_deed(&world, before);
                world.settled().await;
            }
            do_deed(&world, deed);
            let [event] = world.artefacts.take_events().try_into().unwrap();
            world.artefacts.fail_at_call(Some(at));
            world.records.fail_at_call(Some(at));
            let killed = world.gate().settle(&event).await.is_err();
            world.artefacts.fail_at_call(None);
            world.records.fail_at_call(None);
            world.artefacts.take_events();
            world.pending.push_back((event, killed));
            assert_eq!(world.settled().await.outcome, outcome, "{deed}, killed at call {at}");
            world.assert_settled().await;
            if !killed {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_manifest_without_room_for_the_gates_tags_is_refused_by_name_until_there_is() {
    let nine: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|name| (name, "x")).to_vec();
    let forged = [nine.as_slice(), &[("integration-passed", "true")]].concat();
    for (tags, says) in [(&nine, Some("false")), (&forged, Some("false"))] {
        let mut world = World::new(1);
        world.upload_reports();
        world.artefacts.upload(&key("build-manifest.json"), manifest().to_string().as_bytes(), tags);
        let verdict = world.settled().await;
        let codes: Vec<_> = verdict.reasons.iter().map(|it| it.code).collect();
        assert_eq!((verdict.outcome, codes), (Outcome::Rejected, vec![Code::TagLimit]));
        assert_eq!(world.tag("build-manifest.json").as_deref(), says);
        world.assert_settled().await;
        world.artefacts.tag(&key("build-manifest.json"), &nine[1..], "AWS:X:ci");
        assert_eq!(world.settled().await.outcome, Outcome::Built, "there is room now");
        world.assert_settled().await;
        world.artefacts.tag(&key("build-manifest.json"), &forged, "AWS:X:ci");
        assert_eq!(world.settled().await.outcome, Outcome::Rejected, "and now there is none");
        world.assert_settled().await;
    }
}

#[tokio::test]
async fn an_artefact_without_room_for_the_gates_tag_is_refused_until_there_is() {
    let mut world = World::new(1);
    world.upload_reports();
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    let ten = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(|name| (name, "x"));
    world.artefacts.tag(&key("reports/unit.xml"), &ten, "AWS:X:ci");
    let verdict = world.settled().await;
    assert_eq!((verdict.outcome, verdict.reasons[0].code), (Outcome::Rejected, Code::TagLimit));
    world.artefacts.tag(&key("reports/unit.xml"), &ten[..9], "AWS:X:ci");
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    world.assert_settled().await;
}

#[tokio::test]
async fn a_key_outside_the_layout_is_reported_whatever_tags_it_comes_with() {
    let ten = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(|name| (name, "x"));
    for (tags, codes) in [
        (&[] as &[_], vec!["key-outside-layout"]),
        (&[("integration-passed", "false")], vec!["key-outside-layout"]),
        (&ten, vec!["key-outside-layout", "tag-limit"]),
    ] {
        for stray in ["notes\nof a line feed.txt", "reports/a\u{1}\u{1b}[31m.xml", "\n"] {
            let lines = Arc::new(Mutex::new(Vec::<Value>::new()));
            let told = Arc::clone(&lines);
            let log = Logger::to_sink(telemetry::wall_clock, move |line| {
                let line: Value = serde_json::from_str(line).unwrap();
                if line["level"] == "WARN" {
                    told.lock().unwrap().push(line);
                }
            });
            let world = World::new(1);
            world.artefacts.upload(&key(stray), b"x", tags);
            for _ in 0..2 {
                for event in world.artefacts.take_events() {
                    let gate = Gate { log: log.clone(), ..world.gate() };
                    gate.settle(&event).await.unwrap();
                }
            }
            let lines = lines.lock().unwrap();
            let reasons = lines[0]["reasons"].as_array().unwrap();
            assert_eq!(reasons.iter().map(|it| it["code"].as_str().unwrap()).collect::<Vec<_>>(), codes, "{stray:?}");
            assert_eq!((lines.len(), lines[0]["key"].as_str()), (1, Some(key(stray).as_str())), "{stray:?}");
            assert!(ten[..] == *tags || world.tag(stray).as_deref() == Some("false"), "{stray:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    /// Duplicates, disorder, two functions at once and answers that are lost: the end is what is stored, and then it is quiet.
    #[test]
    fn whatever_happens_verdict_and_tags_end_as_what_is_stored(
        deeds in prop::collection::vec(deed(), 1..24),
        seed in any::<u64>(),
        shuffle in any::<u64>(),
        delivery in (1..5_usize, 1..9_usize, 1..3_usize)
            .prop_map(|(at_once, size, copies)| Delivery { at_once, size, copies }),
        lost in (lost(), lost()),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(seed);
            world.artefacts.lose_answers(lost.0);
            world.records.lose_answers(lost.1);
            for (index, deed) in deeds.iter().enumerate() {
                world.does(deed, delivery).await;
                world.take_events();
                let len = world.pending.len();
                if len > 1 {
                    let by = usize::try_from(shuffle.rotate_left(u32::try_from(index).unwrap()) % len as u64).unwrap();
                    world.pending.rotate_left(by);
                }
            }
            world.drain(delivery).await;
            if !world.artefacts.keys().is_empty() {
                world.artefacts.lose_answers([]);
                world.records.lose_answers([]);
                world.assert_settled().await;
            }
        });
    }
}
