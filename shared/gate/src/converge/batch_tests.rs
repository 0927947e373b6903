//! What a batch is settled to, and what it costs.

use gatekeeper_model::notification::Happened;

use super::*;

const OTHER: &str = "4444444444444444444444444444444444444444";

fn own() -> Vec<String> {
    vec!["gate".to_owned()]
}

fn record(message_id: &str, events: Vec<Event>) -> Record {
    Record { message_id: message_id.to_owned(), events: Ok(events), comes_again: false }
}

#[tokio::test]
async fn a_message_that_nobody_can_read_fails_alone_and_a_commit_that_fails_names_all_its_messages() {
    let world = World::new(1);
    world.upload_reports();
    let other = |path: &str| format!("bank-payments/{OTHER}/{path}");
    for path in ["reports/unit.xml", "reports/policy.xml"] {
        world.artefacts.upload(&other(path), b"x", &[]);
    }
    world.records.deny(&format!("bank-payments/{OTHER}/"));
    let created = |key: String| event(Change::Created, &key);
    let mut poison = record("poison", Vec::new());
    poison.events = Batch::parse(&json!({"Records": [{}]})).records.remove(0).events;
    let records = vec![
        record("good", vec![created(key("reports/unit.xml"))]),
        poison,
        record("bad", vec![created(other("reports/unit.xml"))]),
        record("both", vec![created(key("reports/policy.xml")), created(other("reports/policy.xml"))]),
        record("test event", Vec::new()),
    ];
    let (answer, first) = world.gate().settle_messages(&Batch { records, from_queue: true }, &own()).await;
    let failures: Vec<_> = answer.failures.iter().map(|it| (it.message_id.as_str(), it.is_unreadable)).collect();
    assert_eq!(failures, [("poison", true), ("bad", false), ("both", false)]);
    assert!(first.is_some());
    assert_eq!(serde_json::to_value(&answer).unwrap()["batchItemFailures"][0], json!({"itemIdentifier": "poison"}));
    // The others are settled all the same.
    assert_eq!(world.verdict().outcome, Outcome::Incomplete);
    for path in ["reports/unit.xml", "reports/policy.xml"] {
        assert_eq!(world.tag(path).as_deref(), Some("false"), "{path}");
    }
}

#[tokio::test]
async fn a_commit_that_is_judged_anew_is_told_once_with_its_codes() {
    let world = World::new(1);
    world.upload_reports();
    world.upload_manifest(|_| {});
    world.artefacts.take_events();
    let events = [(event(Change::Created, &key("build-manifest.json")), false)];
    let (answer, _) = world.gate().settle_messages(&batch(&events), &own()).await;
    let told: Vec<_> = answer.judged_anew.iter().map(|it| (it.happened, it.detail.outcome.as_deref())).collect();
    let standing = world.verdict();
    assert_eq!(told, [(Happened::VerdictChanged, Some(standing.outcome.as_str()))]);
    assert_eq!(answer.judged_anew[0].detail.repo.as_ref(), Some(&standing.repo));
    assert_eq!(serde_json::to_value(&answer).unwrap(), json!({"batchItemFailures": []}), "Lambda is not told");

    let (again, _) = world.gate().settle_messages(&batch(&events), &own()).await;
    assert_eq!(again.judged_anew, []);
}

#[tokio::test]
async fn of_several_strangers_in_a_batch_each_is_told_with_what_he_did() {
    let mut world = World::new(2);
    world.upload_reports();
    world.upload_manifest(|_| {});
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    world.artefacts.tag(&key("build-manifest.json"), &[("integration-passed", "false")], "AWS:X:jane");
    world.artefacts.tag(&key("reports/unit.xml"), &[("integration-passed", "maybe")], "AWS:X:mallory");
    world.artefacts.tag(&key("reports/policy.xml"), &[], "AWS:X:trent");
    let events: Vec<_> = world.artefacts.take_events().into_iter().map(|event| (event, false)).collect();
    let lines = Arc::new(Mutex::new(Vec::<Value>::new()));
    let told = Arc::clone(&lines);
    let log = Logger::to_sink(telemetry::wall_clock, move |line| {
        told.lock().unwrap().push(serde_json::from_str(line).unwrap());
    });
    let gate = Gate { log, ..world.gate() };
    let (answer, _) = gate.settle_messages(&batch(&events), &own()).await;
    assert_eq!(answer.failures, []);
    let lines = lines.lock().unwrap();
    let warned = lines.iter().filter(|line| line["level"] == "WARN" && line["principal"].is_string());
    let mut warned: Vec<_> =
        warned.map(|it| (it["key"].as_str().unwrap(), it["principal"].as_str().unwrap())).collect();
    warned.sort_unstable();
    let manifest = key("build-manifest.json");
    let (policy, unit) = (key("reports/policy.xml"), key("reports/unit.xml"));
    assert_eq!(warned, [(manifest.as_str(), "AWS:X:jane"), (&policy, "AWS:X:trent"), (&unit, "AWS:X:mallory")]);
    let settled: Vec<_> = lines.iter().filter(|line| line["message"] == "events settled").collect();
    assert_eq!((settled.len(), &settled[0]["events"], &settled[0]["outcome"]), (1, &json!(3), &json!("revoked")));
}

/// A commit of so many reports, in batches, until it is quiet; the calls that it took and its invocations.
async fn calls_of(reports: usize, per_batch: usize) -> (u64, usize) {
    let mut world = World::new(3);
    let text =
        |number: usize| format!("<testsuite name='{number}'><testcase classname='{number}' name='t'/></testsuite>");
    let listed: Vec<_> = (0..reports)
        .map(|number| {
            let name = format!("suite-{number:04}.xml");
            world.artefacts.upload(&key(&format!("reports/{name}")), text(number).as_bytes(), &[]);
            let sha256 = Sha256::of(text(number).as_bytes());
            json!({"suite": "integration", "format": "junit", "file": name, "sha256": sha256, "size": text(number).len()})
        })
        .collect();
    let total = |manifest: &mut Value| {
        manifest["reports"] = json!(listed);
        manifest["tests"]["integration"]["passed"] = json!(reports);
    };
    world.upload_manifest(|manifest| {
        total(manifest);
        registered(manifest);
        // What the reports show is not asked for yet.
        for report in manifest["reports"].as_array_mut().unwrap() {
            report["suite"] = json!("unit");
        }
        manifest["tests"]["unit"]["passed"] = json!(reports);
    });
    let mut invocations = 0;
    for outcome in [Outcome::Registered, Outcome::Built] {
        world.take_events();
        while !world.pending.is_empty() {
            invocations += 1;
            world.deliver(per_batch, Delivery { at_once: 1, size: per_batch, copies: 1 }).await;
            world.take_events();
        }
        let verdict = world.verdict();
        assert_eq!(verdict.outcome, outcome, "{:?}", verdict.reasons);
        if outcome == Outcome::Registered {
            world.upload_manifest(total);
        }
    }
    let calls = world.artefacts.counts().0 + world.records.counts().0;
    world.settled().await;
    (calls, invocations)
}

#[tokio::test]
async fn a_commit_costs_few_calls_an_object_and_as_few_when_it_is_large() {
    for (reports, per_batch, limit) in
        [(40, 50, 80), (200, 50, 80), (200, 1_000, 80), (200, 10, 85), (2_000, 1_000, 80)]
    {
        let (calls, invocations) = calls_of(reports, per_batch).await;
        let tenths = calls * 10 / (reports as u64 + 1);
        assert!(tenths <= limit, "{calls} calls for {reports} objects in batches of {per_batch}");
        assert!(invocations <= 6 + 4 * (reports + 1) / per_batch, "{invocations} invocations for {reports} objects");
    }
}

#[tokio::test]
async fn events_of_the_gates_own_tag_writes_cost_nothing() {
    let mut world = World::new(4);
    world.upload_reports();
    world.upload_manifest(|_| {});
    world.take_events();
    world.deliver(usize::MAX / 2, ONE_BY_ONE).await;
    let calls = |world: &World| (world.artefacts.counts(), world.records.counts());
    let before = calls(&world);
    assert_eq!(world.settled().await.outcome, Outcome::Built);
    assert_eq!(calls(&world), before);
    world.assert_settled().await;
}
