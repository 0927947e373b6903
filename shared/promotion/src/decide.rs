//! The decision on a promotion, from what was read: pure, and with every reason at once.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_gate::{attestation, attestation::TestResult, judgement, judgement::INTEGRATION_PASSED};
use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{Chain, Commit, DatabaseName, Repo, Sha256, StageName, VersionId, WaiverId},
    manifest::Manifest,
    store_key::{ArtefactKey, ArtefactPath, Form, RecordKey},
    verdict::{Outcome, Verdict},
};
use gatekeeper_proof::{
    Authority, PublicKeys, Statement, ledger,
    ledger::{Hold, Standing, StandingError, Waiver},
    witness,
};
use gatekeeper_readers::flyway::history::HistoryRow;
use gatekeeper_store::{Body, Listed, record::Stored, revocation::StoredRevocation};

use super::{
    history::{StageState, altered_record},
    look::{FirstLook, LookedAt, SecondLook},
    plan::{Plan, Subject},
    record::{PinnedRecord, PromotionRecord, UnreadFact, WayBack},
    request::PromotionRequest,
    rules::Circumstances,
    verify::{Answer, Asked, Verified},
};
use crate::{
    brake,
    identities::Identities,
    runs,
    stage::{SchemaParity, Stage, StagesConfig},
};

/// What the first look comes to: what the second one needs to know, and every reason against so far.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) asked: Asked<'a>,
    pub(super) commit: Commit,
    pub(super) first: FirstLook,
    /// The stage as it is configured, and the configuration.
    pub(super) stage: Option<(Stage, Body)>,
    pub(super) verdict: Option<Stored<Verdict>>,
    pub(super) manifest: Option<Manifest>,
    /// What holds the stage.
    pub(super) hold: Option<Hold>,
    /// What two people waive of its rules.
    waivers: BTreeMap<WaiverId, Waiver>,
    built_attestation: Option<PinnedRecord>,
    reasons: Vec<Finding>,
}

impl<'a> Known<'a> {
    pub(super) fn of(asked: Asked<'a>, commit: Commit, mut first: FirstLook) -> Self {
        let PromotionRequest { stage, repo, .. } = asked.request;
        let mut reasons = Vec::from_iter(broken_ledger(stage, repo, first.ledger_head.as_ref(), &first.keys));
        reasons.extend(altered_stage(stage, repo, &first));
        let holds_head = first.holds_head.as_ref().map(|body| body.bytes.as_slice());
        let standing = brake::standing(stage, holds_head, first.keys.of(Authority::Promotion));
        // A rollback passes whatever holds the stage, so it needs no word on that.
        let Standing { hold, waivers, .. } = standing.unwrap_or_else(|broken| {
            reasons.extend(Some(broken).filter(|_| !asked.request.rollback));
            Standing::default()
        });
        let configured = config_of(first.config.take(), stage, &mut reasons);
        let verdict = built_verdict(&commit, first.verdict.take(), first.revocation.as_ref(), &mut reasons);
        signed_revocation(&commit, verdict.as_ref().map(|it| &it.record), &first.revocations, &mut reasons);
        if asked.request.rollback {
            let state = first.state.as_ref().map(|stored| &stored.record);
            reasons.extend(never_ran(stage, &commit, state, verdict.as_ref().map(|it| &it.record)));
        }
        let manifest_sha256 = first.manifest.as_ref().map(|body| Sha256::of(&body.bytes));
        let built_attestation = verdict.as_ref().zip(manifest_sha256).and_then(|(verdict, manifest)| {
            let is_built = verdict.record.outcome == Outcome::Built;
            let attestation = first.attestation.as_ref();
            is_built.then(|| attested(verdict, manifest, attestation, &first.keys, &mut reasons)).flatten()
        });
        let manifest = first.manifest.take();
        let manifest = verdict.as_ref().and_then(|verdict| judged_manifest(&verdict.record, manifest, &mut reasons));
        if let Some(verdict) = &verdict {
            reasons.extend(stale(&verdict.record, &first.listed));
        }
        Self { asked, commit, first, stage: configured, verdict, manifest, hold, waivers, built_attestation, reasons }
    }

    /// The promotion, pinned; or every reason against it.
    pub(super) fn decide(self, second: SecondLook) -> Result<Answer, UnreadFact> {
        let Self { asked: Asked { request, home, now }, commit, first, mut reasons, built_attestation, .. } = self;
        let SecondLook { objects, templates, before, required, approvals, release, witnessed } = second;
        let disagreements: Vec<_> = witnessed
            .iter()
            .filter_map(|(chain, look)| witness::compare(chain, look, first.keys.of(Authority::of(chain)), now))
            .collect();
        reasons.extend(objects.iter().flat_map(unfit));
        let (Some(verdict), Some(manifest), Some((stage, config))) = (self.verdict, self.manifest, self.stage) else {
            return Ok(Err(sorted(reasons)));
        };
        // Of a verdict that names no manifest the stored one was not judged, which is among the reasons.
        let Some(manifest_version_id) = verdict.record.manifest_version_id.clone() else {
            return Ok(Err(sorted(reasons)));
        };
        let plan = Plan::of(Subject {
            verdict: &verdict.record,
            manifest: &manifest,
            templates: &templates,
            home,
            stage_name: &request.stage,
            stage: &stage,
            rollback_parity: rollback_parity(request),
        });
        let plan = plan.and_then(|plan| runs::pulumi::with_preview(plan, request));
        let plan_sha256 = plan.as_ref().ok().map(|plan| plan.digest(&commit, request));
        let identities = Identities::of(first.identities.as_ref());
        let required = required.map(|read| read.judged(&commit, first.attestation.as_ref(), &first.keys));
        let mut ruling = Circumstances {
            stage: &stage,
            request,
            requester: &first.requester,
            commit: &commit,
            manifest: &manifest,
            manifest_version_id: &manifest_version_id,
            plan_sha256,
            required: required.as_ref(),
            approvals: &approvals,
            identities: identities.as_ref(),
            hold: self.hold.as_ref().map(|hold| (hold, release.as_ref())),
            waivers: &self.waivers,
            witness: &disagreements,
            trust: first.keys.trust.as_ref().map(|trust| &trust.root),
            now,
        }
        .rule();
        reasons.append(&mut ruling.reasons);
        let history_before = history_before(request, before.as_ref())?;
        reasons.extend(plan.as_ref().ok().and_then(|plan| lease_not_asked(request, plan)));
        let plan = match plan {
            Ok(plan) if reasons.is_empty() => plan,
            Ok(plan) if request.dry_run && reasons.iter().all(|it| may_change(it.code)) => plan,
            Ok(_) => return Ok(Err(sorted(reasons))),
            Err(more) => {
                reasons.extend(more);
                return Ok(Err(sorted(reasons)));
            }
        };
        Ok(Ok(Box::new(Verified {
            history_before,
            promotion_before: before.as_ref().map(|before| before.promotion_id.clone()),
            way_back: before.and_then(|before| way_back(request, &commit, before)),
            plan_sha256: plan.digest(&commit, request),
            not_yet: sorted(reasons),
            commit,
            plan,
            stage,
            stages_config_version_id: config.version_id,
            stages_config_sha256: Sha256::of(&config.bytes),
            built_attestation,
            manifest_version_id,
            identities_config: first.identities.map(|body| pinned(&RecordKey::IdentitiesConfig, body)),
            ruling,
            verdict_version_id: verdict.version_id,
            lock: first.lock,
        })))
    }
}

/// Whether a reason goes away without another plan: people or time take it away.
fn may_change(code: Code) -> bool {
    matches!(
        code,
        Code::ApprovalsMissing
            | Code::ApprovalNotProved
            | Code::ApprovalPlanDiffers
            | Code::RequesterUnproven
            | Code::RequiresNotMet
            | Code::SoakNotOver
            | Code::StageFrozen
            | Code::StageOnHold
            | Code::TrustRootExpired
            | Code::WitnessBehind
            | Code::WitnessUnreachable
    )
}

/// The rows of the databases' histories as the promotion before left them. Of a stage that ran nothing yet there are none,
/// and a rollback migrates nothing.
fn history_before(
    request: &PromotionRequest,
    before: Option<&PromotionRecord>,
) -> Result<BTreeMap<DatabaseName, Vec<HistoryRow>>, UnreadFact> {
    match before {
        Some(before) if !request.rollback => before.schema_histories(),
        _ => Ok(BTreeMap::new()),
    }
}

/// Why there is nothing to go back to: the stage never ran the commit, or not by its present manifest. A rollback skips the
/// stage's rules, because what it brings back was promoted by them once; what was uploaded since was not.
fn never_ran(
    stage: &StageName,
    commit: &Commit,
    state: Option<&StageState>,
    verdict: Option<&Verdict>,
) -> Option<Finding> {
    let ran = state.into_iter().flat_map(|state| &state.history).filter(|it| it.commit_sha == commit.sha);
    let ran: Vec<_> = ran.map(|it| it.manifest_version_id.as_ref()).collect();
    let present = verdict.and_then(|verdict| verdict.manifest_version_id.as_ref());
    let message = match (ran.last(), present) {
        (None, _) => format!("`{commit}` was never promoted to `{stage}`, so there is nothing to go back to"),
        // Without a judged manifest there is no promotion either, which is among the reasons.
        (Some(_), None) => return None,
        (Some(_), Some(_)) if ran.contains(&present) => return None,
        (Some(last), Some(present)) => format!(
            "`{stage}` ran `{commit}` by version `{}` of its manifest, and `{present}` is stored now: promote it instead",
            last.map_or("unknown", VersionId::as_str)
        ),
    };
    Some(Finding::new(Code::NeverPromoted, commit.sha.as_str(), message))
}

/// What is wrong with the stage's ledger: nothing can be written on top of a head that doesn't hold.
fn broken_ledger(stage: &StageName, repo: &Repo, head: Option<&Body>, keys: &PublicKeys) -> Option<Finding> {
    let chain = Chain { stage: stage.clone(), repo: repo.clone() };
    let error = ledger::newest_of(&head?.bytes, &chain, keys.of(Authority::of(&chain))).err()?;
    let message = format!("its head: {error}; nothing can be written on top of it, see `gatekeeper ledger verify`");
    Some(Finding::new(Code::LedgerBroken, RecordKey::LedgerHead(chain).to_string(), message))
}

/// Where what the stage is said to run isn't what its ledger was signed over. A promotion that still holds the lock may not
/// have come to its entry yet: it is completed, or waited for.
fn altered_stage(stage: &StageName, repo: &Repo, first: &FirstLook) -> Option<Finding> {
    let holder = first.lock.as_ref().map(|it| &it.record).filter(|it| it.released_at.is_none());
    let holder = holder.map(|lock| &lock.promotion_id);
    if first.state.as_ref().is_some_and(|state| holder == Some(&state.record.promotion_id)) {
        return None;
    }
    let chain = Chain { stage: stage.clone(), repo: repo.clone() };
    let head = first.ledger_head.as_ref().map(|body| body.bytes.as_slice());
    altered_record(&chain, first.state.as_ref().map(|it| it.sha256), head, &first.keys)
}

/// A revocation counts by its record or by the gate's signed entry, whichever is there.
fn signed_revocation(
    commit: &Commit,
    verdict: Option<&Verdict>,
    revocations: &Result<Standing, StandingError>,
    reasons: &mut Vec<Finding>,
) {
    match revocations {
        Ok(standing) => {
            let manifest = verdict.and_then(|verdict| verdict.manifest_version_id.as_ref());
            let is_told = reasons.iter().any(|it| it.code == Code::Revoked);
            let signed = manifest.and_then(|manifest| judgement::signed_revocation(commit, standing, manifest));
            reasons.extend(signed.filter(|_| !is_told));
        }
        Err(error) => {
            let key = RecordKey::LedgerHead(Chain::of_gate(commit.repo.clone())).to_string();
            let message = format!("so nobody can tell what was revoked: {error}");
            reasons.push(Finding::new(Code::LedgerBroken, key, message));
        }
    }
}

fn pinned(key: &RecordKey, body: Body) -> PinnedRecord {
    PinnedRecord { key: key.to_string(), version_id: body.version_id, sha256: Sha256::of(&body.bytes) }
}

fn sorted(mut reasons: Vec<Finding>) -> Vec<Finding> {
    reasons.sort();
    reasons.dedup();
    reasons
}

/// The stage as it is configured, and the configuration; none with the reason where it isn't.
pub fn config_of(config: Option<Body>, stage: &StageName, reasons: &mut Vec<Finding>) -> Option<(Stage, Body)> {
    let Some(body) = config else {
        let key = RecordKey::StagesConfig.to_string();
        reasons.push(Finding::new(Code::StagesConfigInvalid, key, "there is no configuration of the stages"));
        return None;
    };
    match StagesConfig::parse(&body.bytes) {
        Ok(mut config) => {
            let configured = config.stages.remove(stage);
            if configured.is_none() {
                let known: Vec<_> = config.stages.keys().map(|name| format!("`{name}`")).collect();
                let message = format!("the stage is not configured; there are {}", known.join(", "));
                reasons.push(Finding::new(Code::StageUnknown, stage.as_str(), message));
            }
            configured.map(|configured| (configured, body))
        }
        Err(finding) => {
            reasons.push(finding);
            None
        }
    }
}

/// The verdict, where it says `built` and wasn't taken back since; a refusal repeats its reasons.
pub fn built_verdict(
    commit: &Commit,
    verdict: Option<Stored<Verdict>>,
    revocation: Option<&StoredRevocation>,
    reasons: &mut Vec<Finding>,
) -> Option<Stored<Verdict>> {
    let Some(verdict) = verdict else {
        let message = "there is no verdict: the commit was never uploaded, or the gate has not seen it yet";
        reasons.push(Finding::new(Code::NotBuilt, commit.to_string(), message));
        return None;
    };
    if verdict.record.outcome != Outcome::Built {
        let why = match verdict.record.outcome {
            Outcome::Registered => ": its integration tests have not run yet",
            _ => "",
        };
        let message = format!("the commit is `{}`, the stage requires `built`{why}", verdict.record.outcome);
        reasons.push(Finding::new(Code::NotBuilt, commit.to_string(), message));
        reasons.extend(verdict.record.reasons.iter().cloned());
    }
    if let Some(StoredRevocation { taken_back, .. }) = revocation
        && verdict.record.manifest_version_id.as_ref().is_some_and(|manifest| taken_back.concerns(manifest))
    {
        reasons.push(Finding::new(Code::Revoked, ArtefactPath::Manifest.of(commit), taken_back.to_string()));
    }
    Some(verdict)
}

/// The gate's attestation of this very verdict, manifest and objects. The tag and the verdict are only words: this is what a
/// promotion rests on.
fn attested(
    verdict: &Stored<Verdict>,
    manifest: Sha256,
    attestation: Option<&Body>,
    keys: &PublicKeys,
    reasons: &mut Vec<Finding>,
) -> Option<PinnedRecord> {
    let key = RecordKey::BuiltAttestation(verdict.record.commit(), Form::Dsse).to_string();
    let Some(body) = attestation else {
        let message = "the gate has not attested that the commit is built: tag its manifest `integration-passed=true` to \
                       have it judged again";
        reasons.push(Finding::new(Code::AttestationMissing, key, message));
        return None;
    };
    let wrong = match Statement::<TestResult>::open(&body.bytes, keys) {
        Err(error) => Some(error.to_string()),
        Ok(statement) => attestation::disagreement(&statement, &verdict.record, verdict.sha256, manifest),
    };
    match wrong {
        Some(wrong) => {
            reasons.push(Finding::new(Code::AttestationInvalid, key, wrong));
            None
        }
        None => Some(PinnedRecord { key, version_id: body.version_id.clone(), sha256: Sha256::of(&body.bytes) }),
    }
}

/// The manifest, where it is the version that was judged.
fn judged_manifest(verdict: &Verdict, manifest: Option<Body>, reasons: &mut Vec<Finding>) -> Option<Manifest> {
    let commit = verdict.commit();
    let Some(body) = manifest else {
        let message = "there is no manifest";
        reasons.push(Finding::new(Code::ManifestMissing, ArtefactPath::Manifest.of(&commit), message));
        return None;
    };
    if verdict.manifest_version_id.as_ref() != Some(&body.version_id) {
        let message = format!("version `{}` of the manifest is stored, and it was not judged yet", body.version_id);
        reasons.push(Finding::new(Code::VerdictStale, ArtefactPath::Manifest.of(&commit), message));
    }
    match Manifest::parse(&body.bytes, &commit) {
        Ok(manifest) => Some(manifest),
        Err(findings) => {
            reasons.extend(findings);
            None
        }
    }
}

/// Where what is stored isn't what was judged.
fn stale(verdict: &Verdict, listed: &[Listed]) -> Vec<Finding> {
    let manifest_key = ArtefactPath::Manifest.of(&verdict.commit());
    let stored: BTreeMap<_, _> = listed.iter().map(|it| (it.key.as_str(), &it.version_id)).collect();
    let judged: BTreeSet<_> = verdict.artefacts.iter().map(|it| it.key.as_str()).collect();
    let mut findings = Vec::new();
    for artefact in &verdict.artefacts {
        let stale = match stored.get(artefact.key.as_str()) {
            Some(version) if **version == artefact.version_id => continue,
            Some(version) => format!("version `{version}` is stored, judged was `{}`", artefact.version_id),
            None => "it was judged and is no longer stored".to_owned(),
        };
        findings.push(Finding::new(Code::VerdictStale, artefact.key.as_str(), stale));
    }
    // Keys outside the layout are no part of the commit.
    let unjudged = stored.keys().filter(|key| **key != manifest_key && !judged.contains(**key));
    for key in unjudged.filter(|key| ArtefactKey::parse(key).is_ok()) {
        findings.push(Finding::new(Code::VerdictStale, *key, "it is stored and was not judged yet"));
    }
    findings
}

/// Where an object isn't what was judged, or its tag doesn't say so.
fn unfit(object: &LookedAt) -> Vec<Finding> {
    let LookedAt { key, version_id, judged, stored } = object;
    let finding = |code, message| Finding::new(code, key.as_str(), message);
    let Some((head, tags)) = stored else {
        return vec![finding(Code::VerdictStale, format!("version `{version_id}` was judged and is no longer stored"))];
    };
    let mut findings = Vec::new();
    if let (Some(stored), Some(judged)) = (head.sha256, judged)
        && stored != *judged
    {
        findings.push(finding(Code::DigestMismatch, format!("judged was `{judged}`, stored is `{stored}`")));
    }
    let says = match tags.get(INTEGRATION_PASSED).map(String::as_str) {
        Some("true") => return findings,
        Some(other) => format!("`{INTEGRATION_PASSED}` is `{other}` on version `{version_id}`"),
        None => format!("version `{version_id}` has no tag `{INTEGRATION_PASSED}`"),
    };
    findings.push(finding(Code::TagNotTrue, says));
    findings
}

/// That a runner has a part in it, and nobody asks for its lease: nothing may be started that nobody could finish.
fn lease_not_asked(request: &PromotionRequest, plan: &Plan) -> Option<Finding> {
    if request.lease || request.dry_run || plan.runs.is_empty() {
        return None;
    }
    let runs: Vec<_> = plan.runs.iter().map(|run| format!("`{}`", run.name())).collect();
    let command = if request.rollback { "rollback" } else { "promote" };
    let message = format!(
        "{} of the commit is carried out by a runner, which needs a lease: `gatekeeper {command} … --lease FILE` writes it, \
         and `gatekeeper promote --complete FILE` hands in what the runner did",
        runs.join(", ")
    );
    Some(Finding::new(Code::LeaseNotAsked, request.stage.as_str(), message))
}

/// What a rollback makes of a schema that is not the tested one: databases are never rolled back, so it must be the
/// commit's, whatever the stage asks of promotions.
fn rollback_parity(request: &PromotionRequest) -> Option<SchemaParity> {
    match (request.rollback, request.accept_schema_difference) {
        (false, _) => None,
        (true, false) => Some(SchemaParity::Required),
        (true, true) => Some(SchemaParity::Reported),
    }
}

/// What the stage runs now, where that is another commit: what is brought back when the promotion fails. A rollback
/// has no way back, because a rollback never rolls back a rollback.
fn way_back(request: &PromotionRequest, commit: &Commit, before: PromotionRecord) -> Option<WayBack> {
    let goes_back = !request.rollback && before.commit_sha != commit.sha;
    goes_back.then_some(WayBack { commit_sha: before.commit_sha, promotion_id: before.promotion_id, plan: before.plan })
}
