//! How the commit came to run: the promotion's record.

use std::collections::BTreeMap;

use gatekeeper_model::{
    ids::{Sha256, VersionId},
    store_key::RecordKey,
};
use gatekeeper_promotion::{
    approval::{CountedApproval, SignedApproval},
    brake::SignedWord,
    record::{PromotionRecord, Status, StepRecord},
    step::{Direction, ReportStatus, Step},
    waiver::{ProposedWaiver, UsedWaiver, WAIVABLE},
};
use serde_json::Value;

use super::{Case, Checks, counted};
use crate::{
    exhibits::Unread,
    model::{Approval, BreakGlass, Event, Part, Person, Promotion, SmokeAnswer},
    paper,
};

const THERE: &str = "the promotion's record is there and is about this commit";
const SUCCEEDED: &str = "the promotion succeeded, every step of it";
const SMOKE: &str = "every smoke check answered as it should after the promotion";
const NO_SMOKE: &str = "no smoke check is configured, and none was asked";
const APPROVED: &str = "the approvals that counted are stored as they were counted";
const SIGNED: &str = "`approve` signed the approvals that counted, as it was told by whom";
const WAIVED: &str = "`approve` signed the waivers that were used, and two people had agreed on them until then";
const PLANNED: &str = "what was applied is the plan that was approved, where an approval names one";
const SHARED: &str = "somebody accepted that the stage shares the gatekeeper's account, where nothing binds its roles";
const JUDGED: &str = "the promotion applied exactly the bytes that the gate judged";

/// Checks the record.
pub(super) fn check(case: &Case<'_>, checks: &mut Checks) {
    let part = Part::Promotion;
    let record = match &case.record {
        Ok(read) => &read.value,
        Err(unread) => {
            let promotion = &case.subject.promotion_id;
            checks.unread(part, THERE, &format!("the record of promotion `{promotion}`"), unread);
            return;
        }
    };
    let question = &case.exhibits.observed.question;
    let about = record.promotion_id == case.subject.promotion_id
        && record.commit_sha == case.subject.commit_sha
        && record.stage == question.stage
        && record.repo == question.repo;
    if about {
        checks.holds(part, THERE, format!("promotion `{}`", record.promotion_id));
    } else {
        let (id, stage, commit) = (&record.promotion_id, &record.stage, record.commit());
        checks.fails(part, THERE, format!("it is about promotion `{id}` of `{commit}` to `{stage}`"));
    }

    let mut wrong = Vec::new();
    if record.status != Status::Succeeded {
        wrong.push(format!("its status is `{}`", record.status.as_str()));
    }
    for step in record.steps.iter().filter(|step| step.direction == Direction::Forward) {
        wrong.extend(step.error.iter().map(|error| format!("{}: {error}", step.step)));
        let failed = step.reports.iter().filter(|report| report.status == ReportStatus::Failed);
        wrong.extend(failed.map(|report| format!("{}: `{}`: {}", step.step, report.subject, report.detail)));
    }
    let reports: usize = record.steps.iter().map(|step| step.reports.len()).sum();
    let detail = format!("{} with {}", counted(record.steps.len(), "step"), counted(reports, "report"));
    checks.none_wrong(part, SUCCEEDED, &wrong, detail);

    smoke(record, checks);
    approved(case, record, checks);
    if record.shared_account {
        checks.holds(
            part,
            SHARED,
            "the gatekeeper was deployed with `SharedAccount=accepted` at the time of the promotion",
        );
    }
    let Some(verdict) = case.verdict() else {
        checks.unknown(part, JUDGED, "without the verdict it is not known what was judged");
        return;
    };
    let judged: BTreeMap<&str, (&VersionId, Sha256)> =
        verdict.artefacts.iter().map(|it| (it.key.as_str(), (&it.version_id, it.sha256))).collect();
    let strange = record.plan.pinned().filter(|it| judged.get(it.key.as_str()) != Some(&(&it.version_id, it.sha256)));
    let wrong: Vec<_> =
        strange.map(|it| format!("`{}` with SHA-256 `{}` was not judged so", it.key, it.sha256)).collect();
    let count = record.plan.pinned().count();
    let detail = format!("{}: key, version and SHA-256 of the plan are those of the verdict", counted(count, "object"));
    checks.none_wrong(part, JUDGED, &wrong, detail);
}

/// Checks what answered after the promotion. Where nothing was asked that is what is said.
fn smoke(record: &PromotionRecord, checks: &mut Checks) {
    let planned = record.plan.smoke.len();
    if planned == 0 {
        let detail = "the stage has no smoke check for this commit: nothing shows that it answers there";
        return checks.holds(Part::Promotion, NO_SMOKE, detail);
    }
    let answers = smoke_answers(record);
    let failed = answers.iter().filter(|it| it.status != Some(ReportStatus::Passed));
    let mut wrong: Vec<_> = failed.map(|it| format!("`{}`: {}", it.check, it.detail)).collect();
    if answers.len() < planned {
        wrong.push(format!("the record tells of {} of {planned} checks", answers.len()));
    }
    let what = if planned == 1 { "1 check".to_owned() } else { format!("{planned} checks") };
    checks.none_wrong(Part::Promotion, SMOKE, &wrong, what);
}

/// What the smoke checks came to, as the record tells.
fn smoke_answers(record: &PromotionRecord) -> Vec<SmokeAnswer> {
    let steps =
        record.steps.iter().filter(|it| it.step == Step::SmokeTest.as_str() && it.direction == Direction::Forward);
    let reports = steps.flat_map(|step| &step.reports).map(|it| SmokeAnswer {
        check: it.subject.clone(),
        status: Some(it.status),
        detail: it.detail.clone(),
    });
    reports.collect()
}

/// Checks that the approvals which counted are stored as they were counted.
fn approved(case: &Case<'_>, record: &PromotionRecord, checks: &mut Checks) {
    let (mut wrong, mut open, mut count) = (Vec::new(), Vec::new(), 0);
    for counted in record.counted_approvals() {
        count += 1;
        let (person, key) = (counted.person.as_str(), &counted.record.key);
        match case.exhibits.document(&paper::approval(count)) {
            Ok(stored) if Sha256::of(&stored.bytes) == counted.record.sha256 => {}
            Err(unread @ Unread::NotLooked(_)) => open.push(format!("that of `{person}`, `{key}`: {unread}")),
            _ => wrong.push(format!("that of `{person}`, `{key}`, is not there as it was counted")),
        }
    }
    if count > 0 {
        checks.judged(Part::Promotion, APPROVED, &wrong, &open, counted(count, "approval"));
    }
    signed_approvals(case, record, checks);
    signed_waivers(case, record, checks);
}

/// Checks the waivers without which the promotion would have been refused: the first person's word is signed by `approve`, the
/// second one's is the record's, which the ledger is signed over.
fn signed_waivers(case: &Case<'_>, record: &PromotionRecord, checks: &mut Checks) {
    let (mut wrong, mut open) = (Vec::new(), Vec::new());
    let keys = case.exhibits.keys.as_ref().and_then(|keys| keys.approval.as_ref());
    let read = case.names.as_ref().zip(case.record.as_ref().ok());
    let named = read.and_then(|(names, record)| names.by_record(record.sha256, true));
    for (UsedWaiver { waiver, finding }, place) in record.waived.iter().zip(1..) {
        let mut fault = |why: String| wrong.push(format!("`{}`: {why}", waiver.id));
        if !WAIVABLE.contains(&finding.code) || !waiver.is_about(finding.code, &record.commit()) {
            fault(format!("it is not about `{}` of `{}`", finding.code, record.commit()));
        }
        if waiver.until <= record.started_at || waiver.agreed_at > record.started_at {
            fault(format!("it was from {:.0} until {:.0}", waiver.agreed_at, waiver.until));
        }
        let name = paper::waiver(place);
        let key = RecordKey::ProposedWaiver(record.stage.clone(), waiver.id.clone());
        match case.exhibits.document(&name).and_then(|stored| {
            Ok((Sha256::of(&stored.bytes), case.exhibits.read::<SignedWord<ProposedWaiver>>(&name)?.value))
        }) {
            Err(unread @ Unread::NotLooked(_)) => open.push(format!("`{}`: {unread}", waiver.id)),
            Err(unread) => fault(unread.to_string()),
            Ok((sha256, _)) if sha256 != waiver.proposal.sha256 => fault("another proposal is stored".to_owned()),
            Ok((_, signed)) if !signed.word.is_of(waiver) => fault("something else was proposed".to_owned()),
            Ok((_, signed)) => match keys {
                None if case.exhibits.keys.is_none() => open.push("the public keys could not be read".to_owned()),
                None => fault("there is no key of approvals".to_owned()),
                Some(keys) => {
                    if let Err(not_proved) = signed.proof_named(&key, keys, named) {
                        fault(not_proved.to_string());
                    }
                }
            },
        }
    }
    if !record.waived.is_empty() {
        checks.judged(Part::Promotion, WAIVED, &wrong, &open, counted(record.waived.len(), "waiver"));
    }
}

/// Checks the signatures of the approvals that counted by them: those that were counted before approvals were signed have
/// none, as the record says, which the ledger is signed over.
fn signed_approvals(case: &Case<'_>, record: &PromotionRecord, checks: &mut Checks) {
    let (mut wrong, mut open, mut count, mut plans) = (Vec::new(), Vec::new(), 0, Vec::new());
    let keys = case.exhibits.keys.as_ref().and_then(|keys| keys.approval.as_ref());
    let read = case.names.as_ref().zip(case.record.as_ref().ok());
    let named = read.and_then(|(names, record)| names.by_record(record.sha256, true));
    for (approval, place) in record.counted_approvals().zip(1..) {
        let Some(signed_by) = approval.signed_by else { continue };
        count += 1;
        let (person, place_there) = (approval.person.as_str(), &approval.record.key);
        let why = match case.exhibits.read::<SignedApproval>(&paper::approval(place)) {
            Err(unread @ Unread::NotLooked(_)) => {
                open.push(format!("that of `{person}`: {unread}"));
                continue;
            }
            Err(unread) => unread.to_string(),
            Ok(_) if case.exhibits.keys.is_none() => {
                open.push("the public keys could not be read".to_owned());
                continue;
            }
            Ok(read) => match read.value.proof_named(place_there, keys, named) {
                Ok(by) if by == signed_by && read.value.approval.approved_by.person == approval.person => {
                    plans.extend(read.value.approval.plan_sha256.map(|plan| (person, plan)));
                    continue;
                }
                Ok(by) => format!("it is signed with the key `{by}`, the promotion counted one by `{signed_by}`"),
                Err(not_proved) => not_proved.to_string(),
            },
        };
        wrong.push(format!("that of `{person}`, `{place_there}`: {why}"));
    }
    if count > 0 {
        checks.judged(Part::Promotion, SIGNED, &wrong, &open, counted(count, "signature"));
    }
    if !plans.is_empty() {
        let applied = record.plan_digest();
        let others = plans.iter().filter(|(_, plan)| *plan != applied);
        let wrong: Vec<_> = others
            .map(|(person, plan)| format!("`{person}` approved the plan `{plan}`, and `{applied}` was applied"))
            .collect();
        checks.none_wrong(Part::Promotion, PLANNED, &wrong, format!("`{applied}`, derived again from the record"));
    }
}

/// What the record tells of the promotion.
pub(super) fn promotion(case: &Case<'_>, record: &PromotionRecord) -> Promotion {
    let approval = |(counted, place): (&CountedApproval, usize)| Approval {
        by: Person { person: counted.person.as_str().to_owned(), arn: counted.arn.clone() },
        approved_at: counted.approved_at,
        reason: case
            .exhibits
            .read::<gatekeeper_promotion::approval::Approval>(&paper::approval(place))
            .ok()
            .map(|it| it.value.reason),
    };
    let break_glass = record.break_glass.as_ref().map(|glass| BreakGlass {
        requested_by: glass.requester.as_str().to_owned(),
        approved_by: glass.approved_by.person.as_str().to_owned(),
        waived: glass.waived.clone(),
    });
    let requester = record.requester.as_ref();
    Promotion {
        status: record.status,
        rollback: record.rollback,
        requested_by: record.requested_by.clone(),
        proven_requester: requester.map(|it| Person { person: it.person.as_str().to_owned(), arn: it.arn.clone() }),
        accept_replacement: record.accept_replacement.clone(),
        reason: record.reason.clone(),
        started_at: record.started_at,
        ended_at: record.ended_at,
        approvals: record.counted_approvals().zip(1..).map(approval).collect(),
        break_glass,
        waived: record.waived.clone(),
        hold: record.hold.clone(),
        smoke: smoke_answers(record),
    }
}

/// What happened, in order.
pub(super) fn timeline(case: &Case<'_>) -> Vec<Event> {
    let moment = |name: &str, at, detail: String| Event {
        name: name.to_owned(),
        started_at: at,
        ended_at: None,
        direction: None,
        status: None,
        detail,
    };
    let mut events = Vec::new();
    if let Some(manifest) = case.manifest() {
        events.push(moment("built", manifest.timestamp, format!("the manifest of branch {}", manifest.branch)));
    }
    if let Some(verdict) = case.verdict() {
        events.push(moment("judged", verdict.evaluated_at, format!("the gate's verdict: {}", verdict.outcome)));
    }
    if let Some(record) = case.record() {
        let by = format!("asked for by {}: {}", record.requested_by, record.reason);
        events.push(moment("started", record.started_at, by));
        events.extend(record.steps.iter().filter_map(step));
        if let Some(ended_at) = record.ended_at {
            events.push(moment("ended", ended_at, record.status.as_str().to_owned()));
        }
    }
    events.sort_by_key(|event| event.started_at);
    events
}

fn step(step: &StepRecord) -> Option<Event> {
    let started_at = step.reports.iter().map(|report| report.started_at).min()?;
    let ended_at = step.reports.iter().filter_map(|report| report.ended_at).max();
    let worst = step.reports.iter().map(|report| report.status).max_by_key(|status| match status {
        ReportStatus::Unchanged => 0,
        ReportStatus::Passed => 1,
        ReportStatus::Applied => 2,
        ReportStatus::InProgress => 3,
        ReportStatus::Failed => 4,
    })?;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for report in &step.reports {
        *counts.entry(word(&report.status)).or_default() += 1;
    }
    let counts: Vec<_> = counts.into_iter().map(|(status, count)| format!("{count} {status}")).collect();
    let name = match step.direction {
        Direction::Forward => step.step.clone(),
        Direction::Back => format!("{}, on the way back", step.step),
    };
    Some(Event {
        name,
        started_at,
        ended_at,
        direction: Some(step.direction),
        status: Some(worst),
        detail: counts.join(", "),
    })
}

/// A word as it stands in documents.
pub(crate) fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}
