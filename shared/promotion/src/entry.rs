//! What the ledger tells of promotions.

use std::collections::BTreeSet;

use gatekeeper_model::{finding::Finding, identity::Person, ids::PromotionId};
use gatekeeper_proof::ledger::{Event, Kind, RecordDigest};
use gatekeeper_store::record;
use serde_json::Error;

use super::{
    record::{PromotionRecord, Status},
    request::PromotionRequest,
    waiver::UsedWaiver,
};

/// The entry of a promotion that has ended, by its record as it is stored, by the document of what the stage runs where that
/// changed, and by what was attested of it.
///
/// # Errors
/// Where the record can't be written as JSON.
pub fn of_promotion(
    record: &PromotionRecord,
    stage_record: Option<RecordDigest>,
    attestations: Vec<RecordDigest>,
) -> Result<Event, Error> {
    let key = PromotionRecord::key(&record.reference()).to_string();
    Ok(Event {
        kind: kind(record.rollback),
        id: format!("promotion/{}", record.promotion_id),
        commit_sha: Some(record.commit_sha.clone()),
        promotion_id: Some(record.promotion_id.clone()),
        by: record.asked_by().to_owned(),
        approved_by: approved_by(record),
        reason: record.reason.clone(),
        outcome: record.status.as_str().to_owned(),
        findings: waived(record),
        findings_left_out: 0,
        record: Some(RecordDigest { key, version_id: None, sha256: record::digest(record)? }),
        break_glass: record.break_glass.is_some(),
        manifest_version_id: None,
        stage_record,
        hold: None,
        waiver: None,
        attestations,
        hand_over: None,
    })
}

/// The entry of a request that was refused; `id` tells it from the same request asked again.
#[must_use]
pub fn of_refusal(request: &PromotionRequest, reasons: &[Finding], id: &PromotionId) -> Event {
    Event {
        kind: Kind::Refusal,
        id: format!("refusal/{id}"),
        commit_sha: request.commit_sha.clone(),
        promotion_id: None,
        by: request.requested_by.clone(),
        approved_by: Vec::new(),
        reason: request.reason.clone(),
        outcome: format!("{} refused", kind(request.rollback).as_str()),
        findings: reasons.to_vec(),
        findings_left_out: 0,
        record: None,
        break_glass: request.break_glass,
        manifest_version_id: None,
        stage_record: None,
        hold: None,
        waiver: None,
        attestations: Vec::new(),
        hand_over: None,
    }
}

/// What was found against it, with which it went on nevertheless, and who stopped it.
fn waived(record: &PromotionRecord) -> Vec<Finding> {
    let waived = record.break_glass.iter().flat_map(|broken| &broken.waived).chain(&record.witness).cloned();
    let waived = waived.chain(record.waived.iter().map(UsedWaiver::told));
    let stopped = record.stopped.iter().map(|it| it.finding(&record.stage));
    waived.chain(stopped).collect::<BTreeSet<_>>().into_iter().collect()
}

fn approved_by(record: &PromotionRecord) -> Vec<Person> {
    let mut people: Vec<_> = record.counted_approvals().map(|it| it.person.clone()).collect();
    people.sort();
    people.dedup();
    people
}

fn kind(rollback: bool) -> Kind {
    if rollback { Kind::Rollback } else { Kind::Promotion }
}

impl Status {
    /// The word, as it stands in records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::GoingBack => "going-back",
            Self::Succeeded => "succeeded",
            Self::RolledBack => "rolled-back",
            Self::Failed => "failed",
        }
    }
}
