//! Provenance at the gate: bundles of a Sigstore in memory, verified by the very code that verifies real ones.

use std::sync::atomic::{AtomicUsize, Ordering};

use gatekeeper_model::provenance::{Answer, Question};
use gatekeeper_provenance::{
    Provenance,
    instance::{Instance, Workflow, public_key, signed_by_key, statement},
};

use super::*;

/// Verifies as the function does, and counts how often it is asked.
#[derive(Debug)]
struct Verifier<'a> {
    artefacts: &'a Memory,
    asked: AtomicUsize,
}

impl ProvenanceVerifier for Verifier<'_> {
    fn verify<'a>(&'a self, question: &'a Question) -> Verifying<'a> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let verifier = Provenance::new(&question.trust)?;
            let bundles = question.bundles.iter().map(|it| {
                let bytes = self.artefacts.bytes_of(&it.key).unwrap();
                assert_eq!(Sha256::of(&bytes), it.sha256);
                let told = match verifier.verify(&bytes) {
                    Ok(proven) => Told::Proven(Box::new(proven)),
                    Err(refused) => Told::Refused(refused.to_string()),
                };
                (it.sha256, told)
            });
            Ok(Answer { bundles: bundles.collect() })
        })
    }
}

const ROOT: &str = "config/trusted-roots/corp.json";

fn instance() -> Instance {
    Instance::new("corp")
}

fn subjects() -> Vec<Sha256> {
    let reports = REPORTS.iter().map(|report| Sha256::of(content(report).as_bytes()));
    reports.chain([Sha256::of(manifest().to_string().as_bytes())]).collect()
}

fn slsa(subjects: &[Sha256]) -> Value {
    statement(subjects, "https://ci.bank.example", "https://github.com/bank/bank-payments", SHA)
}

fn policy() -> Value {
    json!({"schema_version": 1, "all": {"require": ["provenance"]}, "repos": {"bank-payments": {"builders": [
        {"certificate": {
            "root": "corp", "issuer": "https://token.actions.githubusercontent.com",
            "repository": "https://github.com/bank/{repo}",
            "workflow": "https://github.com/bank/{repo}/.github/workflows/pipeline.yml@refs/heads/main"}},
        {"key": {"name": "jenkins", "public_key": public_key("jenkins"), "builder": "https://ci.bank.example"}},
    ]}}})
}

/// Uploads a whole commit with a bundle and lets the gate settle it; also how often the verifier was asked.
async fn judged(world: &mut World, bundle: Option<&Value>) -> (Verdict, usize) {
    world.upload_reports();
    if let Some(bundle) = bundle {
        world.artefacts.upload(&key("provenance/build.sigstore.json"), bundle.to_string().as_bytes(), &[]);
    }
    world.upload_manifest(|_| {});
    settle(world).await
}

async fn settle(world: &World) -> (Verdict, usize) {
    let verifier = Verifier { artefacts: &world.artefacts, asked: AtomicUsize::new(0) };
    loop {
        let events = world.artefacts.take_events();
        if events.is_empty() {
            return (world.verdict(), verifier.asked.into_inner());
        }
        for event in events {
            Gate { verifier: &verifier, ..world.gate() }.settle(&event).await.unwrap();
        }
    }
}

fn with_policy() -> World {
    let world = World::new(1);
    world.records.upload(&RecordKey::PolicyConfig.to_string(), policy().to_string().as_bytes(), &[]);
    world.records.upload(ROOT, instance().trusted_root().as_bytes(), &[]);
    world
}

#[tokio::test]
async fn what_an_allowed_workflow_attested_is_built_and_its_bundle_is_verified_once() {
    let mut world = with_policy();
    let bundle = instance().attest(&Workflow::of("bank-payments", SHA), &slsa(&subjects()));
    let (verdict, asked) = judged(&mut world, Some(&bundle)).await;
    assert_eq!((verdict.outcome, &verdict.reasons[..], asked), (Outcome::Built, &[][..], 1));
    let build = &verdict.provenance[&key("provenance/build.sigstore.json")];
    assert_eq!(build.run.as_deref(), Some("https://github.com/bank/bank-payments/actions/runs/4711/attempts/1"));
    // Another event of the commit finds it kept.
    world.artefacts.upload(&key("reports/unit.xml"), content("unit.xml").as_bytes(), &[]);
    let (verdict, asked) = settle(&world).await;
    assert_eq!((verdict.outcome, asked), (Outcome::Built, 0));
    // Another root of the same name, another question.
    world.records.upload(ROOT, Instance::new("another").trusted_root().as_bytes(), &[]);
    world.artefacts.upload(&key("reports/unit.xml"), content("unit.xml").as_bytes(), &[]);
    let (verdict, asked) = settle(&world).await;
    assert_eq!((verdict.outcome, verdict.reasons[0].code, asked), (Outcome::Rejected, Code::ProvenanceInvalid, 1));
}

#[tokio::test]
async fn a_key_of_the_policy_signs_for_its_builder() {
    let (verdict, asked) = judged(&mut with_policy(), Some(&signed_by_key("jenkins", &slsa(&subjects())))).await;
    assert_eq!((verdict.outcome, asked), (Outcome::Built, 1));
    let (verdict, _) = judged(&mut with_policy(), Some(&signed_by_key("mallory", &slsa(&subjects())))).await;
    assert_eq!((verdict.outcome, verdict.reasons[0].code), (Outcome::Rejected, Code::ProvenanceInvalid));
}

#[tokio::test]
async fn without_provenance_nothing_is_built_and_it_may_come_after_the_manifest() {
    let mut world = with_policy();
    let (verdict, asked) = judged(&mut world, None).await;
    assert_eq!((verdict.outcome, verdict.reasons[0].code, asked), (Outcome::Incomplete, Code::ProvenanceMissing, 0));
    let bundle = instance().attest(&Workflow::of("bank-payments", SHA), &slsa(&subjects()));
    world.artefacts.upload(&key("provenance/build.sigstore.json"), bundle.to_string().as_bytes(), &[]);
    let (verdict, asked) = settle(&world).await;
    assert_eq!((verdict.outcome, asked), (Outcome::Built, 1));
}

#[tokio::test]
async fn another_workflow_another_commit_and_other_bytes_are_refused() {
    let ours = Workflow::of("bank-payments", SHA);
    let feature = Workflow { workflow: ours.workflow.replace("/main", "/feature"), ..ours.clone() };
    let elsewhere = Workflow { commit: "0".repeat(40), ..ours.clone() };
    let without_manifest = &subjects()[..REPORTS.len()];
    for (bundle, code) in [
        (instance().attest(&feature, &slsa(&subjects())), Code::ProvenanceBuilderNotAllowed),
        (instance().attest(&elsewhere, &slsa(&subjects())), Code::ProvenanceOtherCommit),
        (instance().attest(&ours, &slsa(without_manifest)), Code::ProvenanceSubjectMissing),
        (Instance::new("mallory").attest(&ours, &slsa(&subjects())), Code::ProvenanceInvalid),
    ] {
        let (verdict, _) = judged(&mut with_policy(), Some(&bundle)).await;
        let codes: Vec<_> = verdict.reasons.iter().map(|it| it.code).collect();
        assert_eq!((verdict.outcome, &codes[..]), (Outcome::Rejected, &[code][..]), "{:#?}", verdict.reasons);
    }
}

#[tokio::test]
async fn who_could_not_be_asked_is_an_error_and_never_a_yes() {
    let world = with_policy();
    world.upload_reports();
    world.artefacts.upload(&key("provenance/build.sigstore.json"), b"{}", &[]);
    world.upload_manifest(|_| {});
    world.artefacts.take_events();
    let error = world.gate().settle(&event(Change::Created, &key("build-manifest.json"))).await.unwrap_err();
    assert!(matches!(error, GateError::Provenance(_)), "{error:?}");
}
