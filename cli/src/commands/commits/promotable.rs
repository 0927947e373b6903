//! Which commits a stage could take: by the very rules that `promote` applies, as far as records tell.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::Code,
    ids::{Commit, Repo, StageName},
    verdict::Outcome,
};
use gatekeeper_promotion::{
    request::PromotionRequest,
    rules::{Circumstances, Earlier, Requester},
};

use super::{Around, Looked, Row};

/// The commit's row, where the stage could take it now or once people and time allow it; `None` where something else stands
/// against it, or where the stage has it already: it runs
/// it, or ran it and no rollback took it off since.
pub(in crate::commands) fn row(looked: &Looked, repo: &Repo, stage: &StageName, around: &Around) -> Option<Row> {
    let Looked { row, manifest, manifest_version_id, approvals } = looked;
    let configured = around.stages.get(stage)?;
    let (manifest, manifest_version_id) = (manifest.as_ref()?, manifest_version_id.as_ref()?);
    let has_it = around.states.get(stage).is_some_and(|state| state.stands(&row.commit_sha));
    if row.outcome != Some(Outcome::Built) || has_it {
        return None;
    }
    let commit = Commit { repo: repo.clone(), sha: row.commit_sha.clone() };
    let request = PromotionRequest {
        repo: repo.clone(),
        commit_sha: Some(commit.sha.clone()),
        stage: stage.clone(),
        requested_by: String::new(),
        reason: String::new(),
        dry_run: true,
        changes: false,
        rollback: false,
        accept_schema_difference: false,
        accept_replacement: BTreeSet::new(),
        lease: true,
        break_glass: false,
        preview: None,
        identity_proof: None,
    };
    // `promote` verifies the earlier stage's signature too, which nobody but a promotion rests on.
    let required = around.required(stage).map(|state| Earlier { state: state.clone(), unattested: None });
    let ruling = Circumstances {
        trust: None,
        stage: configured,
        request: &request,
        requester: &Requester::Unnamed,
        commit: &commit,
        manifest,
        manifest_version_id,
        plan_sha256: None,
        required: required.as_ref(),
        approvals,
        // What holds the stage is no commit's fault; `status` tells it, and `waivers` what is waived there.
        hold: None,
        waivers: &BTreeMap::new(),
        witness: &[],
        identities: around.identities.as_ref(),
        now: around.now,
    }
    .rule();
    // Nobody asks yet, so nobody can be proved.
    let mut against: Vec<_> = ruling.reasons.into_iter().filter(|it| it.code != Code::RequesterUnproven).collect();
    if against.iter().any(|it| it.code == Code::RequiresNotMet) {
        return None;
    }
    against.dedup();
    Some(Row { waits_for: against, ..row.clone() })
}
