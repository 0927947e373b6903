//! Each rule of a stage, what counts for it and what doesn't, and what two people may waive.

use gatekeeper_proof::ledger::RecordDigest;
use gatekeeper_store::record::Stored;
use serde_json::{Value, json};

use super::*;
use crate::{history::Completed, stage::StagesConfig};

const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
const OTHER: &str = "0000000000000000000000000000000000000000";

/// A commit that is promoted to `prod` on Wednesday, 2026-05-06 at 12:00.
struct World {
    rules: Value,
    request: PromotionRequest,
    requester: Requester,
    author: Option<&'static str>,
    authors: Value,
    identities: Option<Value>,
    actor: Option<&'static str>,
    uat: Option<Earlier>,
    plan: Option<Sha256>,
    approvals: Vec<GivenApproval>,
    waivers: BTreeMap<WaiverId, Waiver>,
    witness: Vec<Finding>,
    hold: Option<gatekeeper_proof::ledger::Hold>,
    now: Timestamp,
}

fn at(time: &str) -> Timestamp {
    format!("2026-05-06T{time}:00Z").parse().unwrap()
}

fn commit() -> Commit {
    Commit { repo: "bank-payments".parse().unwrap(), sha: SHA.parse().unwrap() }
}

fn session(role: &str, person: &str) -> Identity {
    let arn = format!("arn:aws:sts::111122223333:assumed-role/{role}/{person}");
    Identity::of(&arn, "111122223333", &format!("AROAEXAMPLE:{person}"), "111122223333").unwrap()
}

impl World {
    /// `prod` with `rules`, asked for by `rita`; the commit is `ada`'s.
    fn new(rules: Value) -> Self {
        let event = json!({"repo": "bank-payments", "commit_sha": SHA, "stage": "prod",
                           "requested_by": "rita@bank.example", "reason": "release 2026-05"});
        Self {
            rules,
            request: PromotionRequest::parse(&event).unwrap(),
            requester: Requester::Proven(session("promoter", "rita@bank.example")),
            author: Some("ada@bank.example"),
            authors: json!([]),
            identities: None,
            actor: Some("ci-bot"),
            uat: None,
            plan: None,
            approvals: Vec::new(),
            waivers: BTreeMap::new(),
            witness: Vec::new(),
            hold: None,
            now: at("12:00"),
        }
    }

    /// `uat` ran these commits in turn; `<` before one is a rollback to it, `v2` behind one another manifest.
    fn uat(mut self, story: &[(&str, &str)]) -> Self {
        for (index, (time, ran)) in story.iter().enumerate() {
            let name = ran.trim_start_matches('<');
            let version = if name.ends_with("v2") { "v2" } else { "v1" };
            let completed = Completed {
                commit_sha: if name.starts_with("it") { SHA } else { OTHER }.parse().unwrap(),
                promotion_id: format!("{index:026}").parse().unwrap(),
                manifest_version_id: Some(version.into()),
                completed_at: at(time),
                rollback: ran.starts_with('<'),
            };
            let (stage, repo) = ("uat".parse().unwrap(), commit().repo);
            let state = StageState::after(self.uat.map(|it| it.state), &stage, &repo, completed);
            self.uat = Some(Earlier { state, unattested: None });
        }
        self
    }

    fn approved(mut self, time: &str, identity: Identity) -> Self {
        let approval = Approval {
            schema_version: 1,
            repo: commit().repo,
            commit_sha: commit().sha,
            stage: "prod".parse().unwrap(),
            manifest_version_id: "v1".into(),
            approved_by: identity,
            approved_at: at(time),
            reason: "looked at the change".to_owned(),
            break_glass: false,
            plan_sha256: None,
            withdrawn: None,
        };
        let sha256 = gatekeeper_store::record::digest(&approval).unwrap();
        let (etag, version_id) = (time.into(), format!("version of {time}").into());
        let stored = Stored { record: approval, etag, version_id, sha256 };
        self.approvals.push(GivenApproval { stored, proof: Ok(Sha256::of(b"the key")) });
        self
    }

    /// Two people waive a rule for every commit until 18:00, changed.
    fn waived(mut self, code: Code, change: impl FnOnce(&mut Waiver)) -> Self {
        let id: WaiverId = format!("01J000000000000000000000{:02}", self.waivers.len()).parse().unwrap();
        let proposal = RecordDigest { key: "proposal".to_owned(), version_id: None, sha256: Sha256::of(b"proposal") };
        let mut waiver = Waiver {
            id: id.clone(),
            repo: commit().repo,
            commit_sha: None,
            code,
            until: at("18:00"),
            reason: "the quarter ends today".to_owned(),
            proposed_by: session("approver", "ann@bank.example").person,
            agreed_by: session("promoter", "rita@bank.example").person,
            agreed_at: at("08:00"),
            proposal,
        };
        change(&mut waiver);
        self.waivers.insert(id, waiver);
        self
    }

    /// Changes the last approval.
    fn but(mut self, change: impl FnOnce(&mut Approval)) -> Self {
        change(&mut self.approvals.last_mut().unwrap().stored.record);
        self
    }

    fn rule(&self) -> Ruling {
        let config = json!({"schema_version": 1, "stages": {"uat": {}, "prod": self.rules}}).to_string();
        let config = StagesConfig::parse(config.as_bytes()).unwrap();
        let mut manifest = json!({
            "schema_version": 1, "repo": "bank-payments", "commit_sha": SHA, "branch": "main",
            "timestamp": "2026-05-02T03:04:05Z", "modules": [], "author": self.author, "authors": self.authors
        });
        if let Some(actor) = self.actor {
            manifest["build"] = json!({"run_url": "https://ci.example/1", "run_attempt": 1, "actor": actor});
        }
        let identities = match &self.identities {
            None => Identities::of(None),
            Some(document) => Identities::parse(document.to_string().as_bytes()).map_err(|error| {
                Finding::new(Code::IdentitiesConfigInvalid, "config/identities.json", error.to_string())
            }),
        };
        let circumstances = Circumstances {
            hold: self.hold.as_ref().map(|hold| (hold, None)),
            trust: None,
            identities: identities.as_ref(),
            stage: &config.stages[&self.request.stage],
            request: &self.request,
            requester: &self.requester,
            commit: &commit(),
            manifest: &serde_json::from_value(manifest).unwrap(),
            manifest_version_id: &"v1".into(),
            plan_sha256: self.plan,
            required: self.uat.as_ref(),
            approvals: &self.approvals,
            waivers: &self.waivers,
            witness: &self.witness,
            now: self.now,
        };
        circumstances.rule()
    }

    /// The reasons, a line each.
    fn refusal(&self) -> String {
        let reasons = self.rule().reasons;
        reasons.iter().map(|it| format!("{}: {}", it.code, it.message)).collect::<Vec<_>>().join("\n")
    }
}

fn after_uat() -> Value {
    json!({"requires": "deployed:uat"})
}

fn soaked() -> Value {
    json!({"requires": "deployed:uat", "soak_minutes": 90})
}

fn approvals(needed: u8) -> Value {
    json!({"approvals": needed})
}

#[test]
fn a_stage_without_rules_refuses_nothing_and_needs_no_proof() {
    let mut world = World::new(json!({}));
    world.requester = Requester::Unnamed;
    assert_eq!(world.rule(), Ruling::default());
}

#[test]
fn a_hold_keeps_back_what_is_new_and_lets_rollbacks_and_broken_glass_pass() {
    let held = |change: fn(&mut World)| {
        let mut world = World::new(json!({}));
        world.hold = Some(gatekeeper_proof::ledger::Hold {
            id: "01J0000000000000000000000H".parse().unwrap(),
            by: "olga@bank.example".to_owned(),
            since: at("11:00"),
            reason: "the error rate doubled".to_owned(),
            interrupted: std::collections::BTreeSet::new(),
        });
        change(&mut world);
        let ruling = world.rule();
        (ruling.reasons.iter().map(|it| it.code).collect::<Vec<_>>(), ruling.hold.is_some(), ruling)
    };
    let (codes, _, ruling) = held(|_| {});
    assert_eq!(codes, [Code::StageOnHold]);
    insta::assert_snapshot!(ruling.reasons[0].message, @"held by `olga@bank.example` since 2026-05-06T11:00:00Z: the error rate doubled; an approver releases it by `gatekeeper release --stage prod --reason …`");
    let (codes, passed, _) = held(|world| world.request.rollback = true);
    assert_eq!((codes, passed), (vec![], true));
    let (codes, passed, ruling) = held(|world| {
        world.request.break_glass = true;
        let glass = World::new(json!({})).approved("11:30", session("approver", "bob@bank.example"));
        world.approvals = glass.but(|it| it.break_glass = true).approvals;
    });
    assert_eq!((codes, passed), (vec![], true));
    assert_eq!(ruling.break_glass.unwrap().waived[0].code, Code::StageOnHold);
}

#[test]
fn the_earlier_stage_must_have_run_these_bytes_and_not_have_been_rolled_back() {
    let refusal = |story: &[(&str, &str)]| World::new(after_uat()).uat(story).refusal();
    for held in [&[("09:00", "it")][..], &[("09:00", "it"), ("10:00", "another")], &[("08:00", "x"), ("09:00", "<it")]]
    {
        assert_eq!(refusal(held), "", "{held:?}");
    }
    let refusals = [
        World::new(after_uat()).refusal(),
        refusal(&[("09:00", "another")]),
        refusal(&[("09:00", "it v2")]),
        refusal(&[("08:00", "another"), ("09:00", "it"), ("10:00", "<another")]),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @"
    requires-not-met: `bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357` was never promoted to `uat`, which must run it first
    requires-not-met: `bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357` was never promoted to `uat`, which must run it first
    requires-not-met: `uat` ran version `v2` of the commit's manifest, now it is version `v1`; promote it to `uat` again
    requires-not-met: a rollback took `bank-payments@3f1c9a0b5d7e2468ace013579bdf02468ace1357` off `uat`; promote it there again first
    ");
}

#[test]
fn the_soak_time_is_what_the_stage_ran_the_commit_for_in_all() {
    let refusal = |story: &[(&str, &str)]| World::new(soaked()).uat(story).refusal();
    for over in [
        &[("10:30", "it")][..],
        &[("09:00", "it"), ("10:30", "another")],
        &[("09:00", "it"), ("10:00", "another"), ("11:30", "it")],
    ] {
        assert_eq!(refusal(over), "", "{over:?}");
    }
    let refusals = [
        refusal(&[("10:31", "it")]),
        refusal(&[("12:00", "it")]),
        refusal(&[("09:00", "it"), ("10:00", "another")]),
        refusal(&[("08:00", "it v2"), ("11:30", "it")]),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @"
    soak-not-over: `uat` must run the commit for 1 h 30 min before, of which 1 min are left; it is over at 2026-05-06T12:01:00Z
    soak-not-over: `uat` must run the commit for 1 h 30 min before, of which 1 h 30 min are left; it is over at 2026-05-06T13:30:00Z
    soak-not-over: `uat` must run the commit for 1 h 30 min before, of which 30 min are left; the time stands still while `uat` runs `0000000000000000000000000000000000000000`
    soak-not-over: `uat` must run the commit for 1 h 30 min before, of which 1 h are left; it is over at 2026-05-06T13:00:00Z
    ");
}

#[test]
fn a_frozen_stage_says_until_when_and_why() {
    let mut world = World::new(json!({"freeze": [
        {"from": "2026-05-06T13:00", "to": "2026-05-08T08:00", "time_zone": "Europe/London", "reason": "audit"},
        {"weekly": {"from": "wed 12:30", "to": "thu 07:00"}, "time_zone": "Europe/London", "reason": "batch night"},
        {"from": "2026-12-18T18:00", "to": "2027-01-04T08:00", "time_zone": "UTC", "reason": "year end"}
    ]}));
    insta::assert_snapshot!(world.refusal(), @"
    stage-frozen: frozen until Fri 2026-05-08 08:00 +01:00 (Europe/London): audit
    stage-frozen: frozen until Thu 2026-05-07 07:00 +01:00 (Europe/London): batch night
    ");
    world.now = at("11:29");
    assert_eq!(world.refusal(), "");
}

#[test]
fn approvals_count_by_people_who_are_neither_requester_nor_author_nor_each_other() {
    let world = World::new(approvals(2))
        .approved("09:00", session("approver", "rita@bank.example"))
        .approved("09:01", session("approver", "Ada"))
        .approved("09:02", session("approver", "ben@bank.example"))
        .approved("09:03", session("other-approver", "ben"))
        .approved("09:04", session("approver", "cleo"))
        .but(|approval| approval.manifest_version_id = "v0".into())
        .approved("09:05", session("approver", "ci-bot"));
    insta::assert_snapshot!(world.refusal(), @"approvals-missing: 1 of 2 approvals (`ben@bank.example` approved, `rita@bank.example` doesn't count: this is who asks for the promotion, `ada` doesn't count: this is the commit's author, `ben` doesn't count: this is `ben@bank.example` again, `cleo` doesn't count: that was version `v0` of the manifest, `ci-bot` doesn't count: this is the commit's author); ask somebody who is neither the requester nor the author for `gatekeeper approve --stage prod --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --reason …`");
    let ruling = world.approved("09:06", session("approver", "dora")).rule();
    assert_eq!(ruling.reasons, []);
    let counted: Vec<_> = ruling.approvals.iter().map(|approval| approval.person.as_str()).collect();
    assert_eq!(counted, ["ben@bank.example", "dora"]);
}

#[test]
fn an_approval_of_something_else_does_not_count_wherever_it_lies() {
    type Change = fn(&mut Approval);
    let changes: [Change; 4] = [
        |it| it.repo = "bank-core".parse().unwrap(),
        |it| it.commit_sha = OTHER.parse().unwrap(),
        |it| it.stage = "uat".parse().unwrap(),
        |it| it.manifest_version_id = "v2".into(),
    ];
    for change in changes {
        let world = World::new(approvals(1)).approved("09:00", session("approver", "ben"));
        assert_eq!(world.refusal(), "");
        assert_eq!(world.but(change).rule().reasons[0].code, Code::ApprovalsMissing);
    }
}

#[test]
fn an_approval_of_another_plan_does_not_count_and_one_that_names_none_does() {
    let (planned, other) = (Sha256::of(b"planned"), Sha256::of(b"other"));
    let world = |approved: Option<Sha256>| {
        let mut world = World::new(approvals(1)).approved("09:00", session("approver", "ben"));
        world.plan = Some(planned);
        world.but(|it| it.plan_sha256 = approved)
    };
    assert_eq!((world(None).refusal(), world(Some(planned)).refusal()), (String::new(), String::new()));
    let refused = world(Some(other)).refusal();
    insta::assert_snapshot!(refused.replace(&planned.to_string(), "PLANNED").replace(&other.to_string(), "OTHER"));
    // Another one's counts.
    assert_eq!(world(Some(other)).approved("09:01", session("approver", "cleo")).refusal(), "");
    // Nor does it break the glass.
    let mut glass = world(Some(other)).but(|it| it.break_glass = true);
    glass.request.break_glass = true;
    assert_eq!(glass.rule().reasons[0].code, Code::ApprovalsMissing);
}

#[test]
fn nobody_approved_yet() {
    insta::assert_snapshot!(World::new(approvals(1)).refusal(), @"approvals-missing: 0 of 1 approvals; ask somebody who is neither the requester nor the author for `gatekeeper approve --stage prod --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --reason …`");
}

#[test]
fn without_an_author_nobody_can_tell_whose_approval_counts() {
    let mut world = World::new(approvals(1)).approved("09:00", session("approver", "ben"));
    world.author = None;
    assert_eq!(world.refusal(), "", "`build.actor` is an author too");
    world.actor = None;
    insta::assert_snapshot!(world.refusal(), @"author-unknown: the manifest names neither `authors`, `author` nor `build.actor`; publish it from the clone that it was built in, or with `--author`");
    world.author = Some("  ");
    assert_eq!(world.rule().reasons[0].code, Code::AuthorUnknown);
}

#[test]
fn who_asks_must_be_proved_where_it_matters_and_a_proof_that_is_sent_must_hold() {
    let refused = |rules: Value, requester: Requester, rollback: bool| {
        let mut world = World::new(rules).approved("09:00", session("approver", "ben"));
        world.requester = requester;
        world.request.rollback = rollback;
        world.rule().reasons.iter().map(|it| it.code).collect::<Vec<_>>()
    };
    let unproven = || Requester::Unproven("it was signed for another request than this one".to_owned());
    assert_eq!(refused(approvals(1), Requester::Unnamed, false), [Code::RequesterUnproven]);
    assert_eq!(refused(json!({}), Requester::Unnamed, false), []);
    assert_eq!(refused(json!({}), unproven(), false), [Code::RequesterUnproven]);
    assert_eq!(refused(approvals(1), unproven(), true), [Code::RequesterUnproven]);
    assert_eq!(refused(approvals(1), Requester::Unnamed, true), []);
}

/// Every rule at once, and none holds.
fn nothing_holds() -> World {
    World::new(json!({
        "requires": "deployed:uat", "soak_minutes": 90, "approvals": 1,
        "freeze": [{"from": "2026-05-06T08:00", "to": "2026-05-07T08:00", "time_zone": "UTC", "reason": "audit"}]
    }))
}

#[test]
fn every_reason_is_said_at_once() {
    let codes: Vec<_> = nothing_holds().rule().reasons.iter().map(|it| it.code).collect();
    assert_eq!(codes, [Code::RequiresNotMet, Code::ApprovalsMissing, Code::StageFrozen]);
}

#[test]
fn a_rollback_is_free_of_the_rules() {
    let mut world = nothing_holds();
    world.request.rollback = true;
    let ruling = world.rule();
    assert_eq!((ruling.reasons, ruling.approvals, ruling.break_glass), (vec![], vec![], None));
    assert_eq!(ruling.requester.unwrap().person.as_str(), "rita@bank.example");
}

#[test]
fn two_people_waive_the_rules_and_it_is_written_down() {
    let mut world = nothing_holds().approved("09:00", session("approver", "ada")).but(|it| it.break_glass = true);
    assert_eq!(world.rule().break_glass, None, "nobody asked for it");
    world.request.break_glass = true;
    let ruling = world.rule();
    assert_eq!(ruling.reasons, []);
    let broken = ruling.break_glass.unwrap();
    let waived: Vec<_> = broken.waived.iter().map(|it| it.code).collect();
    assert_eq!(waived, [Code::RequiresNotMet, Code::ApprovalsMissing, Code::StageFrozen]);
    assert_eq!((broken.requester.as_str(), broken.approved_by.person.as_str()), ("rita@bank.example", "ada"));
    assert_eq!(broken.approved_by.record.version_id.as_str(), "version of 09:00");
}

#[test]
fn a_witness_that_disagrees_refuses_and_two_people_or_a_rollback_go_on_nevertheless() {
    let disagrees = || {
        let mut world = World::new(json!({})).approved("09:00", session("approver", "ada"));
        world.witness = vec![Finding::new(Code::WitnessUnreachable, "prod/bank-payments", "AccessDenied")];
        world
    };
    assert_eq!(disagrees().rule().reasons, disagrees().witness);
    let mut glass = disagrees().but(|it| it.break_glass = true);
    glass.request.break_glass = true;
    let ruling = glass.rule();
    assert_eq!(
        (ruling.reasons, ruling.break_glass.unwrap().waived, ruling.witness),
        (vec![], glass.witness.clone(), glass.witness)
    );
    let mut back = disagrees();
    back.request.rollback = true;
    let ruling = back.rule();
    assert_eq!((ruling.reasons, ruling.break_glass, ruling.witness), (vec![], None, back.witness));
}

#[test]
fn breaking_the_glass_takes_a_proved_requester_and_somebody_else_who_agreed_to_just_that() {
    let broken = |world: World| {
        let mut world = world;
        world.request.break_glass = true;
        assert_eq!(world.rule().break_glass, None);
        world.refusal()
    };
    let mut unnamed = nothing_holds().approved("09:00", session("approver", "ben")).but(|it| it.break_glass = true);
    unnamed.requester = Requester::Unnamed;
    let refusals = [
        broken(nothing_holds()),
        broken(unnamed),
        broken(nothing_holds().approved("09:00", session("approver", "ben"))),
        broken(nothing_holds().approved("09:00", session("approver", "rita")).but(|it| it.break_glass = true)),
        broken(nothing_holds().approved("09:00", session("approver", "ben")).but(|it| {
            it.break_glass = true;
            it.manifest_version_id = "v2".into();
        })),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @"
    approvals-missing: to break the glass a second person must have agreed to it; ask somebody else for `gatekeeper approve --stage prod --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --break-glass --reason …`
    requester-unproven: it must be proved who asks, which `gatekeeper promote` does: the event has no `identity_proof`
    approvals-missing: to break the glass a second person must have agreed to it; ask somebody else for `gatekeeper approve --stage prod --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --break-glass --reason …`
    approvals-missing: to break the glass a second person must have agreed to it; ask somebody else for `gatekeeper approve --stage prod --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --break-glass --reason …`
    approvals-missing: to break the glass a second person must have agreed to it; ask somebody else for `gatekeeper approve --stage prod --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --break-glass --reason …`
    ");
}

#[test]
fn durations_are_told_in_hours_and_minutes() {
    let told = |seconds| minutes(SignedDuration::from_secs(seconds));
    assert_eq!(
        [told(1), told(60), told(61), told(3_600), told(7_500)],
        ["1 min", "1 min", "2 min", "1 h", "2 h 5 min"]
    );
}

#[test]
fn authors_whom_nobody_can_place_refuse_by_name_only_where_approvals_are_asked_for() {
    let mut world = World::new(approvals(1)).approved("09:00", session("approver", "ben@bank.example"));
    world.authors = json!([
        {"name": "Jane Doe", "email": "12345678+janedoe@users.noreply.github.com", "commits": 1},
        {"name": "Ann", "email": "ann@laptop.local", "commits": 1}
    ]);
    insta::assert_snapshot!(world.refusal(), @"
    author-unknown: author `12345678+janedoe@users.noreply.github.com` (Jane Doe): an account on GitHub, which nothing says whose it is; say in `config/identities.json` whose it is (`aliases`), or that it is nobody (`bots`)
    author-unknown: author `ann@laptop.local` (Ann): no address of a person; say in `config/identities.json` whose it is (`aliases`), or that it is nobody (`bots`)
    ");
    world.identities = Some(json!({
        "schema_version": 1, "mail_domains": ["bank.example"], "bots": ["ci-bot"],
        "aliases": {"jane@bank.example": ["janedoe"], "ann@bank.example": ["ann@laptop.local"]}
    }));
    assert_eq!(world.refusal(), "");
    world.identities = Some(json!({"schema_version": 1, "alias": {}}));
    insta::assert_snapshot!(world.refusal(), @"identities-config-invalid: no document of identities: unknown field `alias`, expected one of `schema_version`, `mail_domains`, `aliases`, `bots`, `ignored_committers` at line 1 column 8");
    world.rules = json!({});
    assert_eq!(world.refusal(), "", "who is who matters to no rule");
    world.request.break_glass = true;
    assert_eq!(world.rule().reasons[0].code, Code::IdentitiesConfigInvalid);
}

#[test]
fn who_was_not_counted_and_why_is_told_of_a_promotion_that_goes_on_too() {
    let world = World::new(approvals(1))
        .approved("09:00", session("approver", "ada+x@bank.example"))
        .approved("09:01", session("approver", "ben"));
    let ruling = world.rule();
    assert_eq!(ruling.reasons, []);
    let told: Vec<_> = ruling.not_counted.iter().map(|it| format!("{}: {}", it.person, it.why)).collect();
    insta::assert_snapshot!(told.join("\n"), @"ada+x@bank.example: this is the commit's author, as `ada@bank.example`");
}

#[test]
fn a_program_does_not_break_the_glass() {
    let mut world = nothing_holds().approved("09:00", session("approver", "ci-bot")).but(|it| it.break_glass = true);
    world.request.break_glass = true;
    assert!(world.rule().break_glass.is_some());
    world.identities = Some(json!({"schema_version": 1, "bots": ["ci-bot"]}));
    assert_eq!(world.rule().reasons[0].code, Code::ApprovalsMissing);
}

/// A stage that is frozen all day and wants `uat` to have run the commit for two hours.
fn frozen() -> World {
    let freeze =
        json!([{"from": "2026-05-06T08:00", "to": "2026-05-07T08:00", "time_zone": "UTC", "reason": "quarter end"}]);
    World::new(json!({"requires": "deployed:uat", "soak_minutes": 120, "freeze": freeze})).uat(&[("11:00", "it")])
}

#[test]
fn a_waiver_sets_aside_its_rule_alone_and_it_is_written_down_whose_word_that_was() {
    let world = frozen().waived(Code::StageFrozen, |_| {});
    let ruling = world.rule();
    assert_eq!(ruling.reasons.iter().map(|it| it.code).collect::<Vec<_>>(), [Code::SoakNotOver]);
    let ruling = world.waived(Code::SoakNotOver, |it| it.commit_sha = Some(commit().sha)).rule();
    assert_eq!(ruling.reasons, []);
    let told: Vec<_> = ruling.waived.iter().map(|it| it.told().message).collect();
    insta::assert_snapshot!(told.join("\n"), @"
    `uat` must run the commit for 2 h before, of which 1 h are left; it is over at 2026-05-06T13:00:00Z; waived until 2026-05-06T18:00:00Z by `ann@bank.example` and `rita@bank.example` (`01J00000000000000000000001`): the quarter ends today
    frozen until Thu 2026-05-07 08:00 +00:00 (UTC): quarter end; waived until 2026-05-06T18:00:00Z by `ann@bank.example` and `rita@bank.example` (`01J00000000000000000000000`): the quarter ends today
    ");
}

#[test]
fn a_waiver_of_another_time_commit_or_repository_counts_for_nothing_and_the_refusal_says_why_where_it_is_about_it() {
    let other = frozen()
        .waived(Code::StageFrozen, |it| it.repo = "bank-core".parse().unwrap())
        .waived(Code::StageFrozen, |it| it.commit_sha = Some(OTHER.parse().unwrap()));
    let refusal = other.refusal();
    assert!(refusal.contains("stage-frozen") && !refusal.contains("waiver"), "{refusal}");
    insta::assert_snapshot!(frozen().waived(Code::StageFrozen, |it| it.until = at("12:00")).refusal(), @"
    soak-not-over: `uat` must run the commit for 2 h before, of which 1 h are left; it is over at 2026-05-06T13:00:00Z
    stage-frozen: frozen until Thu 2026-05-07 08:00 +00:00 (UTC): quarter end (the waiver `01J00000000000000000000000` doesn't count: it was until 2026-05-06T12:00:00Z)
    ");
}

#[test]
fn nobody_waives_a_rule_for_a_commit_of_their_own_nor_twice_as_one_person() {
    let ada = session("approver", "ada@bank.example").person;
    let mine = |change: fn(&mut Waiver, Person)| {
        frozen().waived(Code::StageFrozen, |it| change(it, ada.clone())).waived(Code::SoakNotOver, |_| {}).refusal()
    };
    insta::assert_snapshot!(mine(|it, ada| it.proposed_by = ada), @"stage-frozen: frozen until Thu 2026-05-07 08:00 +00:00 (UTC): quarter end (the waiver `01J00000000000000000000000` doesn't count: `ada@bank.example`: this is the commit's author)");
    insta::assert_snapshot!(mine(|it, ada| it.agreed_by = ada), @"stage-frozen: frozen until Thu 2026-05-07 08:00 +00:00 (UTC): quarter end (the waiver `01J00000000000000000000000` doesn't count: `ada@bank.example`: this is the commit's author)");
    let twice = frozen().waived(Code::StageFrozen, |it| it.proposed_by = it.agreed_by.clone());
    assert!(twice.refusal().contains("this is `rita@bank.example` again"), "{}", twice.refusal());
    let mut unnamed = frozen().waived(Code::StageFrozen, |_| {});
    (unnamed.author, unnamed.actor) = (None, None);
    assert!(unnamed.refusal().contains("nobody can tell who wrote the commit"), "{}", unnamed.refusal());
}

#[test]
fn proof_holds_and_other_peoples_word_are_no_rules_that_a_waiver_sets_aside() {
    let mut world = World::new(json!({"approvals": 1}));
    world.witness = vec![Finding::new(Code::WitnessUnreachable, "prod/bank-payments", "AccessDenied")];
    world.hold = Some(gatekeeper_proof::ledger::Hold {
        id: "01J0000000000000000000000H".parse().unwrap(),
        by: "jane@bank.example".to_owned(),
        since: at("10:00"),
        reason: "the error rate doubled".to_owned(),
        interrupted: std::collections::BTreeSet::new(),
    });
    let before = world.rule().reasons;
    assert_eq!(before.len(), 3);
    for code in before.iter().map(|it| it.code) {
        world = world.waived(code, |_| {});
    }
    let ruling = world.rule();
    assert_eq!((ruling.reasons, ruling.waived), (before, vec![]));
}

#[test]
fn an_approval_that_was_withdrawn_counts_for_nothing_nor_to_break_the_glass() {
    let withdrawn = |it: &mut Approval| {
        it.withdrawn = Some(crate::approval::Withdrawal { at: at("11:00"), reason: "saw a fault".to_owned() });
    };
    let world = World::new(json!({"approvals": 1})).approved("09:00", session("approver", "ben")).but(withdrawn);
    insta::assert_snapshot!(world.refusal(), @"approvals-missing: 0 of 1 approvals (`ben` doesn't count: it was withdrawn at 2026-05-06T11:00:00Z: saw a fault); ask somebody who is neither the requester nor the author for `gatekeeper approve --stage prod --repo bank-payments --sha 3f1c9a0b5d7e2468ace013579bdf02468ace1357 --reason …`");
    let mut glass = nothing_holds().approved("09:00", session("approver", "ben")).but(|it| it.break_glass = true);
    glass.request.break_glass = true;
    assert!(glass.rule().break_glass.is_some());
    assert_eq!(glass.but(withdrawn).rule().break_glass, None);
}
