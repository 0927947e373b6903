//! The rules that the commit was judged by and promoted under: the policy, the stage's own, and who may not do what
//! another one does.

use std::collections::BTreeSet;

use gatekeeper_gate::attestation::TestResult;
use gatekeeper_model::{
    finding::Code,
    ids::{Repo, Sha256},
    manifest::Manifest,
    policy,
    policy::Condition,
    store_key::RecordKey,
};
use gatekeeper_promotion::{
    counting::Owners,
    identities::{Authors, Identities},
    record::PromotionRecord,
    stage::{Requirement, Stage, StagesConfig},
};

use super::{Case, Checks, counted, promotion::word};
use crate::{
    exhibits::Unread,
    model::{Part, Policy, Rules, StageRules, Waiver},
    paper,
};

const POLICY: &str = "the policy that the gate applied is stored as it was applied";
const STAGE: &str = "the stage's rules are stored as the promotion applied them";
const WITNESSED: &str = "the witness outside had seen the ledger as it was when the promotion started:";
const KEPT: &str = "the promotion kept the stage's rules";
const NO_POLICY: &str = "no policy was in force, and the gate applied ADR-053's own conditions";
const NO_APPROVAL: &str = "the stage asks for no approval, and none was counted";
const PEOPLE: &str = "who approved is neither who asked nor who wrote it";

/// The edition of the evidence from which on the policy and the stages' configuration are read.
const FROM_EDITION: u32 = 2;

/// Tells the rules that were in force, and checks them.
pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Rules {
    let policy = policy(case, checks);
    let stage = case.record().and_then(|record| {
        let (rules, stage) = stage(case, record, checks)?;
        kept(record, &stage, checks);
        Some((rules, stage))
    });
    if let Some(record) = case.record() {
        people(case, record, stage.as_ref().map(|(_, stage)| stage), checks);
    }
    Rules { policy, stage: stage.map(|(rules, _)| rules) }
}

fn policy(case: &Case<'_>, checks: &mut Checks) -> Policy {
    let attested = case.attested.as_ref();
    let version_id = case.verdict().and_then(|verdict| verdict.policy_version_id.clone());
    let mut told = Policy {
        version_id: version_id.clone(),
        sha256: None,
        document: None,
        required: attested.iter().flat_map(|it| &it.conditions).copied().collect(),
        least_coverage: attested.map(|it| [it.least_coverage.lines, it.least_coverage.functions]),
        waivers: Vec::new(),
    };
    let Some(verdict) = case.verdict() else {
        checks.unknown(Part::Gate, POLICY, "without the verdict it is not known which policy it was");
        return told;
    };
    let Some(version_id) = version_id else {
        let of_one = attested.and_then(|it| it.policy_version_id.as_ref());
        let wrong: Vec<_> =
            of_one.map(|it| format!("the gate attests that version `{it}` of a policy was")).into_iter().collect();
        checks.none_wrong(Part::Gate, NO_POLICY, &wrong, "neither the verdict nor its attestation names one");
        return told;
    };
    // An earlier edition's bundle never had it.
    if case.exhibits.observed.edition < FROM_EDITION {
        return told;
    }
    let document = match case.exhibits.document(paper::POLICY) {
        Ok(document) => document,
        Err(unread) => {
            let what = format!("version `{version_id}` of `{}`", RecordKey::PolicyConfig);
            checks.unread(Part::Gate, POLICY, &what, &unread);
            return told;
        }
    };
    let sha256 = Sha256::of(&document.bytes);
    told.sha256 = Some(sha256);
    told.document = Some(String::from_utf8_lossy(&document.bytes).into_owned());
    let mut wrong = Vec::new();
    if document.version_id != version_id {
        wrong.push(format!("version `{}` was read, the verdict names `{version_id}`", document.version_id));
    }
    if let Some(applied) = verdict.policy_sha256.filter(|applied| *applied != sha256) {
        wrong.push(format!("its SHA-256 is `{sha256}`, the verdict says `{applied}`"));
    }
    match policy::Policy::parse(&document.bytes) {
        Err(error) => wrong.push(error.to_string()),
        Ok(policy) => {
            wrong.extend(attested.into_iter().flat_map(|it| disagreements(&policy, &case.commit.repo, it)));
            told.waivers = waivers(&policy, &case.commit.repo, |condition| case.required(condition));
        }
    }
    let bound = if verdict.policy_sha256.is_some() { "its SHA-256 is in the verdict" } else { "by its version alone" };
    checks.none_wrong(Part::Gate, POLICY, &wrong, format!("version `{version_id}`, SHA-256 `{sha256}`, {bound}"));
    for Waiver { condition, for_all } in &told.waivers {
        let whom = if *for_all { "every repository" } else { "this repository" };
        let name = format!("the commit had to meet the condition `{}`", word(condition));
        let detail =
            format!("version `{version_id}` of the policy waives it for {whom}; a bad result was refused all the same");
        checks.waived(Part::Gate, &name, detail);
    }
    told
}

/// In what the document says and the gate attested something else.
fn disagreements(policy: &policy::Policy, repo: &Repo, attested: &TestResult) -> Vec<String> {
    let own = policy.repos.get(repo);
    let none = BTreeSet::new();
    let (require, waive) = own.map_or((&none, &none), |own| (&own.require, &own.waive));
    let required = require.iter().chain(policy.all.require.iter().filter(|it| !waive.contains(it)));
    let waived = waive.iter().chain(policy.all.waive.iter().filter(|it| !require.contains(it)));
    let mut wrong: Vec<_> = required
        .filter(|it| !attested.conditions.contains(it))
        .map(|it| format!("it requires `{}`, which the gate does not attest", word(it)))
        .collect();
    let attested_all_the_same = waived.filter(|it| attested.conditions.contains(it));
    wrong.extend(
        attested_all_the_same.map(|it| format!("it waives `{}`, which the gate attests as required", word(it))),
    );
    for (what, own, all, attested) in [
        (
            "lines",
            own.and_then(|own| own.min_line_coverage),
            policy.all.min_line_coverage,
            attested.least_coverage.lines,
        ),
        (
            "functions",
            own.and_then(|own| own.min_function_coverage),
            policy.all.min_function_coverage,
            attested.least_coverage.functions,
        ),
    ] {
        if let Some(least) = own.or(all).filter(|least| (least - attested).abs() > f64::EPSILON) {
            wrong.push(format!("it asks for {least} % of {what}, the gate attests that {attested} % were asked for"));
        }
    }
    wrong
}

/// The conditions that the document waives for the repository, and that didn't bind it.
fn waivers(policy: &policy::Policy, repo: &Repo, required: impl Fn(Condition) -> bool) -> Vec<Waiver> {
    let own = policy.repos.get(repo).map(|own| own.waive.clone()).unwrap_or_default();
    let all: BTreeSet<_> = own.union(&policy.all.waive).copied().filter(|condition| !required(*condition)).collect();
    all.into_iter().map(|condition| Waiver { condition, for_all: !own.contains(&condition) }).collect()
}

/// The stage's rules in the version that the record names.
fn stage(case: &Case<'_>, record: &PromotionRecord, checks: &mut Checks) -> Option<(StageRules, Stage)> {
    if case.exhibits.observed.edition < FROM_EDITION {
        return None;
    }
    let version_id = &record.stages_config_version_id;
    let document = match case.exhibits.document(paper::STAGES) {
        Ok(document) => document,
        Err(unread) => {
            let what = format!("version `{version_id}` of `{}`", RecordKey::StagesConfig);
            checks.unread(Part::Promotion, STAGE, &what, &unread);
            return None;
        }
    };
    let sha256 = Sha256::of(&document.bytes);
    let mut wrong = Vec::new();
    if document.version_id != *version_id {
        wrong.push(format!("version `{}` was read, the record names `{version_id}`", document.version_id));
    }
    if let Some(applied) = record.stages_config_sha256.filter(|applied| *applied != sha256) {
        wrong.push(format!("its SHA-256 is `{sha256}`, the record says `{applied}`"));
    }
    let stage = match StagesConfig::parse(&document.bytes) {
        Ok(mut config) => config.stages.remove(&record.stage),
        Err(finding) => {
            wrong.push(finding.message);
            None
        }
    };
    if stage.is_none() && wrong.is_empty() {
        wrong.push(format!("it has no stage `{}`", record.stage));
    }
    checks.none_wrong(Part::Promotion, STAGE, &wrong, format!("version `{version_id}`, SHA-256 `{sha256}`"));
    let stage = stage?;
    let parity = stage.databases.iter().map(|(name, database)| (name.clone(), database.schema_parity));
    let rules = StageRules {
        version_id: version_id.clone(),
        sha256,
        requires: stage.requires.to_string(),
        soak_minutes: stage.soak_minutes,
        approvals: stage.approvals,
        freeze: stage.freeze.iter().map(ToString::to_string).collect(),
        schema_parity: parity.collect(),
        smoke_checks: stage.smoke.len(),
    };
    Some((rules, stage))
}

/// Whether the promotion kept the stage's rules; what two people waived is told as waived.
fn kept(record: &PromotionRecord, stage: &Stage, checks: &mut Checks) {
    if record.rollback {
        for found in &record.witness {
            let why = format!("a rollback does not wait for it; {}: {}", found.code, found.message);
            checks.waived(Part::Promotion, &format!("{WITNESSED} `{}`", found.subject), why);
        }
        let detail = "a rollback needs none of them: it brings back what was promoted by them once";
        return checks.holds(Part::Promotion, KEPT, detail);
    }
    let (given, needed) = (record.approvals.len(), usize::from(stage.approvals));
    let frozen = stage.freeze.iter().find_map(|window| Some((window, window.frozen_until(record.started_at)?)));
    for used in &record.waived {
        let name = format!("the promotion kept the stage's rule of `{}`", used.finding.code);
        checks.waived(Part::Promotion, &name, used.told().message);
    }
    // Everything else that is refused in a freeze would have to be waived too.
    let is_waived = |code: Code| record.waived.iter().any(|used| used.finding.code == code);
    if let Some(glass) = &record.break_glass {
        for waived in &glass.waived {
            let name = format!("the promotion kept the stage's rule of `{}`", waived.code);
            let by = (glass.requester.as_str(), glass.approved_by.person.as_str());
            checks.waived(Part::Promotion, &name, format!("`{}` and `{}` waived it: {}", by.0, by.1, waived.message));
        }
    } else {
        let mut wrong = Vec::new();
        if given < needed {
            wrong.push(format!("it had {given} of {needed} approvals"));
        }
        if let Some((window, until)) = frozen.filter(|_| !is_waived(Code::StageFrozen)) {
            wrong.push(format!("the stage was frozen until {}: {}", window.local(until), window.reason));
        }
        let first = match &stage.requires {
            Requirement::Deployed(_) if is_waived(Code::RequiresNotMet) => {
                "what had to run first was waived".to_owned()
            }
            Requirement::Built => "the commit had to be Built".to_owned(),
            Requirement::Deployed(first) if stage.soak_minutes == 0 => format!("`{first}` had to run it first"),
            Requirement::Deployed(first) => {
                format!("`{first}` had to run it for {} min first", stage.soak_minutes)
            }
        };
        let freezes = counted(stage.freeze.len(), "freeze window");
        let then = if is_waived(Code::StageFrozen) { "which was waived" } else { "none of them then" };
        let detail = format!("{first}, which `promote` verified; {given} of {needed} approvals; {freezes}, {then}");
        checks.none_wrong(Part::Promotion, KEPT, &wrong, detail);
    }
}

/// Whoever may have written the commit, as the manifest says.
pub(super) fn authors(manifest: &Manifest) -> Vec<String> {
    let listed = manifest.authors.iter().map(|it| match (it.name.trim(), it.email.trim()) {
        (name, "") => name.to_owned(),
        ("", email) => email.to_owned(),
        (name, email) => format!("{name} <{email}>"),
    });
    let actor = manifest.build.as_ref().map(|build| build.actor.as_str());
    let others = manifest.author.as_deref().into_iter().chain(actor).map(str::trim);
    let mut authors: Vec<String> = listed.collect();
    for name in others.filter(|name| !name.is_empty()) {
        if !authors.iter().any(|it| it == name || it.ends_with(&format!("<{name}>"))) {
            authors.push(name.to_owned());
        }
    }
    authors
}

/// Who is who, as it was known when the approvals were counted; or what keeps from telling.
fn identities(case: &Case<'_>, record: &PromotionRecord) -> Result<Identities, Unread> {
    let Some(pinned) = &record.identities_config else {
        return Identities::of(None).map_err(|finding| Unread::Invalid(finding.message));
    };
    let document = case.exhibits.document(paper::IDENTITIES)?;
    if Sha256::of(&document.bytes) != pinned.sha256 {
        return Err(Unread::Invalid(format!("its SHA-256 is not `{}`, which the record names", pinned.sha256)));
    }
    Identities::parse(&document.bytes).map_err(|error| Unread::Invalid(error.to_string()))
}

/// Requester, authors and approvers: nobody lets pass what is his own.
fn people(case: &Case<'_>, record: &PromotionRecord, stage: Option<&Stage>, checks: &mut Checks) {
    let Some(manifest) = case.manifest() else {
        return checks.unknown(Part::Promotion, PEOPLE, "without the manifest it is not known who wrote it");
    };
    let identities = match identities(case, record) {
        Ok(identities) => identities,
        Err(unread) => return checks.unread(Part::Promotion, PEOPLE, "who is who", &unread),
    };
    let authors = Authors::of(manifest, &identities);
    let asked = record.requester.as_ref().map(|it| &it.person);
    let owners = Owners { requester: asked, authors: &authors, identities: &identities };
    let approvers: Vec<_> = record.approvals.iter().map(|it| &it.person).collect();
    let mut wrong = Vec::new();
    for (index, approver) in approvers.iter().enumerate() {
        let before = approvers.iter().take(index).copied();
        let why = owners.why_not(approver, before);
        wrong.extend(why.map(|why| format!("`{approver}` approved, but {why}")));
    }
    let glass = record.break_glass.as_ref();
    if let Some(glass) = glass.filter(|it| identities.same(&it.approved_by.person, &it.requester)) {
        wrong.push(format!("`{}` broke the glass alone", glass.requester));
    }
    // Who waives a rule may ask for the promotion, as who breaks the glass may.
    let nobody_asks = Owners { requester: None, ..owners };
    for waiver in record.waived.iter().map(|used| &used.waiver) {
        let (proposed, agreed) = (&waiver.proposed_by, &waiver.agreed_by);
        for (person, others) in [(proposed, None), (agreed, Some(proposed))] {
            let why = nobody_asks.why_not(person, others.into_iter());
            wrong.extend(why.map(|why| format!("`{person}` waived a rule, but {why}")));
        }
    }
    let requester = match asked {
        Some(asked) if authors.name_of(asked, &identities).is_some() => {
            format!("`{asked}` asked, and is among its authors")
        }
        Some(asked) => format!("`{asked}` asked"),
        None => format!("`{}` asked, which nobody proved", record.requested_by),
    };
    let by = match self::authors(manifest).as_slice() {
        [] => "the manifest names no author".to_owned(),
        authors => format!("written by `{}`", authors.join("`, `")),
    };
    let approved: Vec<_> = record.counted_approvals().map(|it| format!("`{}`", it.person)).collect();
    let approved = match (approved.is_empty(), stage.map_or(0, |stage| stage.approvals)) {
        (true, 0) => "the stage asks for no approval".to_owned(),
        (true, _) => "nobody approved".to_owned(),
        (false, _) => format!("approved by {}", approved.join(", ")),
    };
    let waived: BTreeSet<_> =
        record.waived.iter().flat_map(|used| [&used.waiver.proposed_by, &used.waiver.agreed_by]).collect();
    let waived = waived.into_iter().map(|person| format!("`{person}`")).collect::<Vec<_>>().join(", ");
    let waived = if waived.is_empty() { waived } else { format!("; rules waived by {waived}") };
    // Who can't be placed can't be told apart from who approved.
    let mut open = Vec::new();
    if !approvers.is_empty() || !record.waived.is_empty() {
        open.extend(authors.unknown.iter().map(ToString::to_string));
        if !authors.is_named {
            open.push("the manifest names no author that the approvers could be held against".to_owned());
        }
    }
    let nobody_had_to = stage.is_some_and(|stage| stage.approvals == 0)
        && record.counted_approvals().next().is_none()
        && record.waived.is_empty();
    let name = if nobody_had_to { NO_APPROVAL } else { PEOPLE };
    checks.judged(Part::Promotion, name, &wrong, &open, format!("{by}; {requester}; {approved}{waived}"));
}
