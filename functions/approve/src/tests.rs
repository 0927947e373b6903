//! Approving over the memory store, with STS as a test plays it.

use gatekeeper_aws::{caller, scripted, scripted::Answer as Sts};
use gatekeeper_model::verdict::Outcome;
use gatekeeper_proof::LocalSigner;
use gatekeeper_store::{ReadStore as _, memory::Memory};

use super::*;

const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
const ACCOUNT: &str = "111122223333";

struct World {
    approver: Approver<Memory>,
    config: aws_config::SdkConfig,
}

/// A Built commit, a stage that asks for two approvals, and STS to which everybody is `arn`.
async fn world(arn: &'static str) -> World {
    let config = scripted::config(move |_| {
        Sts::xml(format!(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>AROAEXAMPLE:x</UserId>\
             <Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
        ))
    });
    let callers = Callers::new(&config, ACCOUNT, Some("AROAEXAMPLE".to_owned())).await.unwrap();
    let approver = Approver {
        artefacts: Memory::default(),
        records: Memory::default(),
        callers,
        signer: Box::new(LocalSigner::from_seed(3)),
    };
    let world = World { approver, config };
    let stages =
        json!({"schema_version": 1, "stages": {"uat": {}, "prod": {"requires": "deployed:uat", "approvals": 2}}});
    world.put(&RecordKey::StagesConfig, &stages).await;
    world.verdict(Outcome::Built, "v1").await;
    world
}

fn request() -> ApprovalRequest {
    ApprovalRequest {
        repo: "bank-payments".parse().unwrap(),
        commit_sha: SHA.parse().unwrap(),
        stage: "prod".parse().unwrap(),
        manifest_version_id: "v1".into(),
        reason: "looked at the change".to_owned(),
        break_glass: false,
        plan_sha256: None,
        identity_proof: None,
    }
}

impl World {
    async fn put(&self, key: &RecordKey, record: &Value) {
        let key = key.to_string();
        let before = self.approver.records.get(&key, None, 1_000_000).await.unwrap();
        let precondition = before.map_or(Precondition::Absent, |body| Precondition::Unchanged(body.etag));
        let bytes = record.to_string();
        self.approver.records.put(&key, bytes.as_bytes(), "application/json", &precondition).await.unwrap();
    }

    async fn verdict(&self, outcome: Outcome, manifest_version_id: &str) {
        let verdict = json!({
            "schema_version": 1, "repo": "bank-payments", "commit_sha": SHA, "manifest_version_id": manifest_version_id,
            "outcome": outcome, "reasons": [], "artefacts": [], "evaluated_at": "2026-05-02T03:04:05Z"
        });
        self.put(&RecordKey::Verdict(request().commit()), &verdict).await;
    }

    /// Asks as the caller of `config`, with a proof for `proven`.
    async fn ask(&self, request: &ApprovalRequest, proven: &ApprovalRequest) -> Value {
        let mut request = request.clone();
        request.identity_proof = Some(caller::prove(&self.config, &proven.bound(), wall_clock()).await.unwrap());
        let event = serde_json::to_value(&request).unwrap();
        serde_json::to_value(self.approver.handle(&event, &Logger::silent()).await.unwrap()).unwrap()
    }

    /// Uploads a manifest of which `authors` are the authors, and lets it be Built; its version.
    async fn manifest(&self, authors: &Value) -> VersionId {
        let manifest = json!({
            "schema_version": 1, "repo": "bank-payments", "commit_sha": SHA, "branch": "main",
            "timestamp": "2026-05-02T03:04:05Z", "modules": [], "authors": authors
        });
        let key = ArtefactPath::Manifest.of(&request().commit());
        self.approver.artefacts.upload(&key, manifest.to_string().as_bytes(), &[]);
        let stored = self.approver.artefacts.get(&key, None, 1_000_000).await.unwrap().unwrap();
        self.verdict(Outcome::Built, stored.version_id.as_str()).await;
        stored.version_id
    }

    async fn approve(&self, request: &ApprovalRequest) -> Value {
        self.ask(request, request).await
    }

    async fn written(&self, person: &str) -> Option<Approval> {
        let key = Approval::key(&request().stage, &request().commit(), &Person::named(person));
        record::read::<Approval>(&self.approver.records, &key).await.unwrap().map(|stored| stored.record)
    }

    async fn refused(&self, request: &ApprovalRequest, proven: &ApprovalRequest) -> String {
        let answer = self.ask(request, proven).await;
        assert_eq!(answer["status"], "refused");
        let listed = self.approver.records.list("approvals/").await.unwrap();
        assert!(listed.is_empty(), "nothing is written");
        let reasons = answer["reasons"].as_array().unwrap().iter();
        reasons
            .map(|it| format!("{}: {}", it["code"].as_str().unwrap(), it["message"].as_str().unwrap()))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

const JANE: &str = "arn:aws:sts::111122223333:assumed-role/approver/Jane@bank.example";

#[tokio::test]
async fn an_approval_is_written_once_and_says_who_gave_it() {
    let world = world(JANE).await;
    let expected = json!({"status": "approved", "approved_by": "jane@bank.example", "already": false,
                          "approvals": ["jane@bank.example"], "needed": 2});
    assert_eq!(world.approve(&request()).await, expected);
    let written = world.written("jane@bank.example").await.unwrap();
    assert_eq!((written.approved_by.arn.as_str(), written.manifest_version_id.as_str()), (JANE, "v1"));

    assert_eq!(world.approve(&request()).await["already"], true);
    assert_eq!(world.written("jane@bank.example").await.unwrap(), written, "the first one stands");
}

/// Whatever somebody else put there is no word of hers, and her own takes its place.
#[tokio::test]
async fn an_approval_is_signed_and_one_that_is_not_is_given_again() {
    let world = world(JANE).await;
    world.approve(&request()).await;
    let place = Approval::key(&request().stage, &request().commit(), &Person::named("jane@bank.example"));
    let key = LocalSigner::from_seed(3).keys();
    let signed = async || {
        let given = GivenApproval::read(&world.approver.records, &place, Some(&key)).await.unwrap().unwrap();
        given.proof.map_err(|why| why.to_string())
    };
    assert_eq!(signed().await, Ok(key.present().fingerprint()));
    let stored = record::read::<SignedApproval>(&world.approver.records, &place).await.unwrap().unwrap().record;

    let mut unsigned = stored.clone();
    unsigned.envelope = None;
    let mut altered = stored.clone();
    altered.approval.break_glass = true;
    let by_another = SignedApproval::sign(stored.approval.clone(), &LocalSigner::from_seed(2)).await.unwrap();
    let mut told = Vec::new();
    for planted in [unsigned, altered, by_another] {
        world.put(&place, &serde_json::to_value(&planted).unwrap()).await;
        told.push(signed().await.unwrap_err());
        assert_eq!(world.approve(&request()).await["already"], false);
        assert_eq!(signed().await, Ok(key.present().fingerprint()));
    }
    insta::assert_snapshot!(told.join("\n"), @"
    it is not signed
    it says something else than was signed
    the signature does not hold: another key signed it, or its bytes were changed
    ");

    // A copy under another person's name counts for nobody, and is told.
    let copied = Approval::key(&request().stage, &request().commit(), &Person::named("bob"));
    world.put(&copied, &serde_json::to_value(&stored).unwrap()).await;
    world.manifest(&json!([{"name": "Ann", "email": "ann@bank.example", "commits": 1}])).await;
    world.verdict(Outcome::Built, "v1").await;
    let answer = world.approve(&request()).await;
    assert!(answer["not_counted"][0]["why"].as_str().unwrap().contains("was copied from there"), "{answer}");
}

#[tokio::test]
async fn another_manifest_and_breaking_the_glass_are_approved_anew() {
    let world = world(JANE).await;
    world.approve(&request()).await;
    let glass = ApprovalRequest { break_glass: true, ..request() };
    assert_eq!(world.approve(&glass).await["already"], false);
    assert_eq!(world.approve(&request()).await["already"], true, "to break the glass is to approve");
    world.verdict(Outcome::Built, "v2").await;
    let of_v2 = ApprovalRequest { manifest_version_id: "v2".into(), ..request() };
    assert_eq!(world.approve(&of_v2).await["already"], false);
    let written = world.written("jane@bank.example").await.unwrap();
    assert_eq!((written.manifest_version_id.as_str(), written.break_glass), ("v2", false));
}

#[tokio::test]
async fn what_can_not_be_approved_is_refused_with_every_reason() {
    let jane = world(JANE).await;
    let other = ApprovalRequest { reason: "another reason".to_owned(), ..request() };
    let unknown = ApprovalRequest { stage: "live".parse().unwrap(), ..request() };
    let mut refusals = vec![jane.refused(&request(), &other).await, jane.refused(&unknown, &unknown).await];
    jane.verdict(Outcome::Registered, "v1").await;
    refusals.push(jane.refused(&request(), &other).await);
    jane.verdict(Outcome::Built, "v1").await;
    let revocation = json!({"schema_version": 1, "repo": "bank-payments", "commit_sha": SHA, "manifest_version_id": "v1",
                            "revoked_by": "john", "revoked_at": "2026-05-02T03:04:05Z", "reason": "rounds down"});
    jane.put(&RecordKey::Revocation(request().commit()), &revocation).await;
    refusals.push(jane.refused(&request(), &request()).await);
    jane.verdict(Outcome::Built, "v2").await;
    refusals.push(jane.refused(&request(), &request()).await);
    let root = world("arn:aws:iam::111122223333:root").await;
    refusals.push(root.refused(&request(), &request()).await);
    insta::assert_snapshot!(refusals.join("\n"), @r#"
        requester-unproven: the proof of who approves: it was signed for another request than this one
        stage-unknown: the stage is not configured; there are `prod`, `uat`
        not-built: the commit is `registered`, the stage requires `built`: its integration tests have not run yet
        requester-unproven: the proof of who approves: it was signed for another request than this one
        revoked: taken back by `john`: rounds down
        verdict-stale: version `v1` of the manifest was looked at, and `v2` is stored now: look again
        requester-unproven: a person must approve, by a session of the approver's role, and `arn:aws:iam::111122223333:root` is not such a session
        "#);
}

#[tokio::test]
async fn who_approves_is_told_that_it_will_not_count_and_why() {
    let world = world(JANE).await;
    let bank = json!({"schema_version": 1, "mail_domains": ["bank.example"], "aliases": {"jane": ["janedoe"]}});
    world.put(&RecordKey::IdentitiesConfig, &bank).await;
    let private = "12345678+janedoe@users.noreply.github.com";
    let authors = json!([{"name": "Jane Doe", "email": private, "commits": 1}, {"name": "Ann", "email": "ann@x.example", "commits": 1}]);
    let version = world.manifest(&authors).await;
    let of_it = ApprovalRequest { manifest_version_id: version, ..request() };
    let answer = world.approve(&of_it).await;
    assert_eq!(
        answer["not_counted"],
        json!([{"person": "jane@bank.example", "why": format!("this is the commit's author, as `{private}`")}])
    );
    assert_eq!(
        (&answer["reasons"][0]["code"], answer["reasons"].as_array().unwrap().len()),
        (&json!("author-unknown"), 1)
    );
    assert!(answer["reasons"][0]["message"].as_str().unwrap().contains("`ann@x.example` (Ann)"), "{answer}");

    world.put(&RecordKey::IdentitiesConfig, &json!({"schema_version": 1, "bot": []})).await;
    assert_eq!(world.approve(&of_it).await["reasons"][0]["code"], "identities-config-invalid");
}

#[tokio::test]
async fn an_event_without_a_proof_is_malformed() {
    let event = serde_json::to_value(request()).unwrap();
    let error = world(JANE).await.approver.handle(&event, &Logger::silent()).await.unwrap_err();
    assert_eq!((error.error_type, error.message.as_str()), ("InvalidApprovalEvent", "`identity_proof`: missing"));
}

/// The stage is held, as promotion's key has signed it; by its own chain's head.
async fn held(world: &World, interrupted: &str) -> ledger::Hold {
    let hold = ledger::Hold {
        id: "01J0000000000000000000000H".parse().unwrap(),
        by: "bob@bank.example".to_owned(),
        since: wall_clock(),
        reason: "the error rate doubled".to_owned(),
        interrupted: [Person::named(interrupted)].into(),
    };
    let chain = Chain::of_holds(&request().stage);
    let (event, signer) = (gatekeeper_promotion::brake::holding(&hold), LocalSigner::from_seed(2));
    ledger::append(&world.approver.records, &signer, &chain, &event, None, hold.since).await.unwrap();
    hold
}

async fn release(world: &World, hold_id: &str) -> Value {
    let mut request = ReleaseRequest {
        action: ReleaseRequest::ACTION,
        stage: request().stage,
        hold_id: hold_id.parse().unwrap(),
        reason: "the error rate is normal again".to_owned(),
        identity_proof: None,
    };
    let holds = Chain::of_holds(&request.stage);
    let bound = request.bound(&holds);
    request.identity_proof = Some(caller::prove(&world.config, &bound, wall_clock()).await.unwrap());
    let event = serde_json::to_value(&request).unwrap();
    serde_json::to_value(world.approver.handle(&event, &Logger::silent()).await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_held_stage_is_released_once_in_words_that_its_key_signs() {
    let world = world(JANE).await;
    let hold = held(&world, "bob@bank.example").await;
    for already in [false, true] {
        let expected =
            json!({"status": "released", "released_by": "jane@bank.example", "hold_id": hold.id, "already": already});
        assert_eq!(release(&world, hold.id.as_str()).await, expected);
    }
    let keys = LocalSigner::from_seed(3).keys();
    let given =
        GivenRelease::read(&world.approver.records, &request().stage, &hold.id, Some(&keys)).await.unwrap().unwrap();
    assert_eq!(given.why_not(&hold, 2, &Identities::default()), None);
    // Another keys, or none, and it is nobody's word.
    for keys in [Some(LocalSigner::from_seed(2).keys()), None] {
        let given = GivenRelease::read(&world.approver.records, &request().stage, &hold.id, keys.as_ref()).await;
        assert!(given.unwrap().unwrap().why_not(&hold, 2, &Identities::default()).is_some());
    }
}

#[test]
fn a_bus_is_told_of_a_release_once_and_of_no_refusal() {
    let event = serde_json::from_str(include_str!("../../../events/release.json")).unwrap();
    let hold_id: HoldId = "01J0000000000000000000000H".parse().unwrap();
    let released = |already| Answer::Released {
        released_by: Person::named("jane@bank.example"),
        hold_id: hold_id.clone(),
        already,
    };
    let told = notifications(&event, &released(false));
    assert_eq!(told.iter().map(|it| it.happened).collect::<Vec<_>>(), [Happened::StageReleased]);
    assert_eq!(told[0].detail.by.as_deref(), Some("jane@bank.example"));
    assert_eq!(notifications(&event, &released(true)), []);
    assert_eq!(notifications(&event, &Answer::Refused { reasons: Vec::new() }), []);
}

#[tokio::test]
async fn a_release_is_refused_with_every_reason_and_written_nowhere() {
    let nobody = world("arn:aws:iam::111122223333:root").await;
    let jane = world(JANE).await;
    let mut refusals =
        vec![release(&nobody, "01J0000000000000000000000H").await, release(&jane, "01J0000000000000000000000H").await];
    held(&jane, "jane").await;
    refusals.push(release(&jane, "01J0000000000000000000000G").await);
    refusals.push(release(&jane, "01J0000000000000000000000H").await);
    let told: Vec<_> = refusals
        .iter()
        .flat_map(|it| it["reasons"].as_array().unwrap())
        .map(|it| it["code"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "stage-not-held",
            "requester-unproven",
            "stage-not-held",
            "stage-not-held",
            "requester-unproven",
            "requester-unproven"
        ]
    );
    for world in [&nobody, &jane] {
        assert!(world.approver.records.list("approvals/").await.unwrap().is_empty());
    }
}

/// Asks by an event with an action, with a proof for what `bound` says.
async fn act(world: &World, mut event: Value, bound: &gatekeeper_model::identity::BoundRequest<'_>) -> Value {
    let proof = caller::prove(&world.config, bound, wall_clock()).await.unwrap();
    event["identity_proof"] = serde_json::to_value(proof).unwrap();
    serde_json::to_value(world.approver.handle(&event, &Logger::silent()).await.unwrap()).unwrap()
}

fn withdrawal() -> WithdrawRequest {
    let approval = request();
    WithdrawRequest {
        action: WithdrawRequest::ACTION,
        repo: approval.repo,
        commit_sha: approval.commit_sha,
        stage: approval.stage,
        reason: "saw a fault".to_owned(),
        identity_proof: None,
    }
}

#[tokio::test]
async fn an_approval_is_withdrawn_by_who_gave_it_signed_and_can_be_given_anew() {
    let world = world(JANE).await;
    let withdraw = async || act(&world, json!(withdrawal()), &withdrawal().bound()).await;
    assert_eq!(withdraw().await["reasons"][0]["code"], "approval-not-given");
    world.approve(&request()).await;
    for already in [false, true] {
        let expected = json!({"status": "withdrawn", "approved_by": "jane@bank.example", "already": already});
        assert_eq!(withdraw().await, expected);
    }
    let place = Approval::key(&request().stage, &request().commit(), &Person::named("jane@bank.example"));
    let keys = LocalSigner::from_seed(3).keys();
    let read = async || GivenApproval::read(&world.approver.records, &place, Some(&keys)).await.unwrap().unwrap();
    let given = read().await;
    assert!(given.proof.is_ok());
    assert_eq!(given.stored.record.withdrawn.as_ref().unwrap().reason, "saw a fault");
    // Whoever may write records and leaves the withdrawal out has nobody's word.
    let mut without: Value = record::read::<Value>(&world.approver.records, &place).await.unwrap().unwrap().record;
    without.as_object_mut().unwrap().remove("withdrawn");
    world.put(&place, &without).await;
    assert!(read().await.proof.is_err());
    world.approve(&request()).await;
    let given = read().await;
    assert_eq!((given.proof.is_ok(), given.stored.record.withdrawn), (true, None));
}

fn waiver() -> WaiveRequest {
    WaiveRequest {
        action: WaiveRequest::ACTION,
        stage: request().stage,
        repo: request().repo,
        commit_sha: None,
        code: Code::StageFrozen,
        until: wall_clock() + jiff::SignedDuration::from_hours(8),
        reason: "the regulator's fix must go out".to_owned(),
        identity_proof: None,
    }
}

#[tokio::test]
async fn a_waiver_is_proposed_in_words_that_its_key_signs_and_only_as_it_was_proved() {
    let world = world(JANE).await;
    let (request, terms) = (waiver(), waiver().terms());
    let answer = act(&world, json!(request), &request.bound(&request.terms())).await;
    assert_eq!(
        (&answer["status"], &answer["waiver"]["proposed_by"]["person"]),
        (&json!("proposed"), &json!("jane@bank.example"))
    );
    let listed = world.approver.records.list("approvals/").await.unwrap();
    let place = RecordKey::proposed_waiver_of(&request.stage, &listed[0].key).unwrap();
    let keys = LocalSigner::from_seed(3).keys();
    let given = gatekeeper_promotion::waiver::GivenProposal::read(&world.approver.records, &place, &keys).await;
    let given = given.unwrap().unwrap();
    assert_eq!((given.not_proved.clone(), json!(given.word())), (None, answer["waiver"].clone()));

    let longer = WaiveRequest { until: request.until + jiff::SignedDuration::from_hours(1), ..waiver() };
    let refused = act(&world, json!(longer), &request.bound(&terms)).await;
    assert_eq!(refused["reasons"][0]["code"], "requester-unproven");
    let too_long = WaiveRequest { until: request.until + jiff::SignedDuration::from_hours(91 * 24), ..waiver() };
    let refused = act(&world, json!(too_long), &too_long.bound(&too_long.terms())).await;
    assert_eq!(refused["reasons"][0]["code"], "waiver-invalid");
    assert_eq!(world.approver.records.list("approvals/").await.unwrap().len(), 1, "nothing more is written");
}
