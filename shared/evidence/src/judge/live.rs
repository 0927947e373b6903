//! What runs, held against what was promoted and what was tested.

use std::collections::BTreeMap;

use gatekeeper_model::{
    finding::Code,
    ids::Sha256,
    manifest::{DeployedImage, DeployedParameter},
    policy::Condition,
};
use gatekeeper_promotion::{
    boundary::BOUNDARY_PARAMETER,
    drift::Drift,
    plan::PlannedStack,
    record::{LiveFunction, PromotionRecord},
};

use super::{Case, Checks, counted};
use crate::{
    exhibits::{Live, Unread},
    model::{DifferingParameter, DriftSeen, Function, Holds, LookedAt, Part, Runs, Stack},
    paper,
};

const PROMOTED: &str = "every function runs the bytes that were promoted";
const UNDRIFTED: &str = "drift watching found the stage as it was promoted";
const TESTED: &str = "the bytes that run are those that the integration tests exercised";
const TEMPLATES: &str = "the stacks that the integration tests ran against had the stored templates";

/// Tells what runs, and checks it.
pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Runs {
    let record = case.record();
    let recorded = record.map(|record| record.live.as_slice()).unwrap_or_default();
    let (looked_at, live): (_, &[LiveFunction]) = match &case.exhibits.observed.live {
        Live::Seen(live) => (LookedAt::Live, live),
        Live::AsRecorded if record.is_some() => (LookedAt::Recorded, recorded),
        Live::AsRecorded | Live::Trouble(_) => (LookedAt::Nowhere, &[]),
    };
    let functions = functions(case, live);
    match (&case.exhibits.observed.live, record) {
        (_, None) => {
            checks.unknown(Part::Live, PROMOTED, "without the promotion's record it is not known what was promoted");
        }
        (Live::Trouble(why), _) => checks.unknown(Part::Live, PROMOTED, format!("Lambda could not be asked: {why}")),
        _ => {
            let (open, seen): (Vec<_>, Vec<_>) = functions.iter().partition(|it| it.unread.is_some());
            let wrong = seen.into_iter().filter(|it| it.live_sha256 != it.promoted_sha256);
            let wrong: Vec<_> = wrong.map(|it| differs(case, it)).collect();
            let mut open: Vec<_> = open.into_iter().filter_map(|it| it.unread.clone()).collect();
            open.dedup();
            let what = counted(functions.len(), "function");
            checks.judged(Part::Live, PROMOTED, &wrong, &open, format!("{what}, {}", looked_at.words()));
        }
    }
    tested(case, &functions, checks);
    tested_templates(case, checks);

    let manifest = case.manifest();
    let tests = manifest.and_then(|manifest| manifest.tests.integration.as_ref());
    let told = tests.map(|tests| tests.parameters.as_slice()).unwrap_or_default();
    Runs {
        commit_sha: case.subject.commit_sha.clone(),
        branch: manifest.map(|manifest| manifest.branch.clone()),
        run_url: manifest.and_then(|manifest| Some(manifest.build.as_ref()?.run_url.clone())),
        run_attempt: manifest.and_then(|manifest| Some(manifest.build.as_ref()?.run_attempt)),
        run_actor: manifest.and_then(|manifest| Some(manifest.build.as_ref()?.actor.clone())),
        authors: manifest.map(super::rules::authors).unwrap_or_default(),
        changes: manifest.map(|manifest| manifest.changes.clone()).unwrap_or_default(),
        since: case.subject.since,
        promotion_id: case.subject.promotion_id.clone(),
        promotion: record.map(|record| super::promotion::promotion(case, record)),
        functions,
        looked_at,
        stacks: record
            .into_iter()
            .flat_map(|record| &record.plan.stacks)
            .map(|it| Stack {
                stack_name: it.stack_name.to_string(),
                template_sha256: it.applied_sha256(),
                differing: differing(told, it),
            })
            .collect(),
    }
}

/// Tells what drift watching found last of this promotion, and checks that it is nothing.
pub(super) fn drift(case: &Case<'_>, checks: &mut Checks) -> Option<DriftSeen> {
    if case.exhibits.observed.question.at.is_some() {
        return None;
    }
    let drift = match case.exhibits.read::<Drift>(paper::DRIFT) {
        Ok(read) => read.value,
        Err(Unread::Missing) => return None,
        Err(unread) => {
            checks.unknown(Part::Live, UNDRIFTED, format!("what it found last: {unread}"));
            return None;
        }
    };
    // What it found of an earlier promotion is over.
    if drift.promotion_id != case.subject.promotion_id {
        return None;
    }
    let findings: Vec<_> = drift.findings.into_iter().map(|standing| standing.finding).collect();
    // Which code runs was looked at just now.
    let seen = matches!(case.exhibits.observed.live, Live::Seen(_));
    let stands = |code| !(seen && matches!(code, Code::FunctionChanged | Code::FunctionMissing));
    let wrong: Vec<_> =
        findings.iter().filter(|it| stands(it.code)).map(|it| format!("`{}`: {}", it.subject, it.message)).collect();
    checks.judged(Part::Live, UNDRIFTED, &wrong, &drift.notes, format!("last looked for at {}", drift.checked_at));
    Some(DriftSeen { checked_at: drift.checked_at, findings, notes: drift.notes })
}

fn differs(case: &Case<'_>, function: &Function) -> String {
    let Function { function: name, function_name, live_sha256, bytes_of, .. } = function;
    let name = function_name.as_ref().unwrap_or(name);
    match live_sha256 {
        None => format!("function `{name}` is not there, or its code can't be told"),
        Some(live) => {
            let whose = match bytes_of.as_slice() {
                [] => match case.exhibits.observed.unread.get(&paper::digest(live)) {
                    Some(why) => format!("and which commits hold them could not be looked at: {why}"),
                    None => "which are of no Built commit".to_owned(),
                },
                commits => format!("which are those of {}", commits.join(", ")),
            };
            format!("function `{name}` runs the bytes `{live}`, {whose}")
        }
    }
}

/// The plan's functions; without a plan those of the record that was made at the time.
fn functions(case: &Case<'_>, live: &[LiveFunction]) -> Vec<Function> {
    let tested: BTreeMap<&str, Sha256> = case
        .manifest()
        .and_then(|manifest| manifest.tests.integration.as_ref())
        .into_iter()
        .flat_map(|tests| &tests.deployed)
        .map(|it| (it.function.as_str(), it.code_sha256))
        .collect();
    let bundles = case.record().into_iter().flat_map(|record| &record.plan.functions);
    let bundles = bundles.map(|planned| {
        let name = planned.function.as_str();
        (name.to_owned(), planned.bundle.sha256, tested.get(name).copied())
    });
    let planned = bundles.chain(case.record().into_iter().flat_map(|record| images(case, record)));
    let bytes_of = &case.exhibits.observed.bytes_of;
    let function = planned.map(|(name, promoted, tested_sha256)| {
        let name = name.as_str();
        let seen = live.iter().find(|it| it.function == name);
        let live_sha256 = seen.and_then(|it| it.code_sha256);
        let promoted_sha256 = Some(promoted);
        let unread = match &case.exhibits.observed.live {
            Live::Trouble(why) => Some(why.clone()),
            Live::Seen(_) | Live::AsRecorded => match seen {
                Some(seen) => seen.unread.clone(),
                None => Some("it was not looked at".to_owned()),
            },
        };
        let untold = tested_sha256.is_none() && !case.required(Condition::TestedBytes);
        let equal = match (&unread, live_sha256 == promoted_sha256, tested_sha256 == promoted_sha256) {
            (Some(_), ..) => Holds::Unknown,
            (None, true, false) if untold => Holds::Waived,
            (None, live, tested) => Holds::of(live && tested),
        };
        Function {
            function: name.to_owned(),
            function_name: seen.and_then(|it| it.function_name.clone()),
            live_sha256,
            promoted_sha256,
            tested_sha256,
            equal,
            unread,
            bytes_of: live_sha256.and_then(|live| bytes_of.get(&live).cloned()).unwrap_or_default(),
        }
    });
    function.collect()
}

/// The functions that run a container image by its tag and were there when the promotion ended: the promoted digest, and the
/// one that the manifest tells of dev.
fn images(case: &Case<'_>, record: &PromotionRecord) -> Vec<(String, Sha256, Option<Sha256>)> {
    let tests = case.manifest().and_then(|manifest| manifest.tests.integration.as_ref());
    let told: Vec<_> = tests.into_iter().flat_map(|tests| &tests.images).collect();
    let functions = record.plan.image_functions().filter_map(|(stack, image)| {
        let name = image.function(&stack.stack);
        record.live.iter().find(|it| it.function == name && it.function_name.is_some())?;
        let is_it = |it: &&&DeployedImage| {
            it.stack == stack.stack && it.logical_id == image.resource && it.property == image.property
        };
        let tested = told.iter().find(is_it).map(|it| it.digest.sha256());
        Some((name, image.digest.sha256(), tested))
    });
    functions.collect()
}

/// The parameters that no two stages or commits have alike: the gatekeeper gives them (CONTRACT §6).
const GIVEN: [&str; 5] = ["ArtefactBucket", "ArtefactPrefix", "CommitSha", "Stage", BOUNDARY_PARAMETER];

/// The parameters of a stack that the integration tests ran with other values of. Where dev had the template's default and
/// the plan gives none, both have it; what CloudFormation keeps to itself is not told.
fn differing(told: &[DeployedParameter], planned: &PlannedStack) -> Vec<DifferingParameter> {
    let told = told.iter().filter(|it| it.stack == planned.stack && !GIVEN.contains(&it.name.as_str()));
    let differing = told.filter_map(|it| {
        let (tested, stage) = (it.value.as_ref()?, planned.parameters.get(&it.name));
        let is_equal = stage.map_or(it.is_default, |stage| stage == tested);
        let differing = DifferingParameter { name: it.name.clone(), tested: tested.clone(), stage: stage.cloned() };
        (!is_equal).then_some(differing)
    });
    differing.collect()
}

/// Holds the templates that dev had against the stored ones. Of a commit before they were told nothing is said, unless its
/// policy asked for them.
fn tested_templates(case: &Case<'_>, checks: &mut Checks) {
    let Some(manifest) = case.manifest() else { return };
    let told = manifest.tests.integration.iter().flat_map(|tests| &tests.templates);
    let told: BTreeMap<_, _> = told.map(|it| (&it.stack, it.sha256)).collect();
    let stacks: Vec<_> = manifest.modules.iter().flat_map(|module| &module.stacks).collect();
    let is_required = case.required(Condition::TestedTemplates);
    if stacks.is_empty() || (told.is_empty() && !is_required) {
        return;
    }
    let mut wrong = Vec::new();
    for stack in &stacks {
        match told.get(&stack.name) {
            Some(tested) if *tested == stack.sha256 => {}
            Some(tested) => wrong.push(format!("stack `{}` had `{tested}`", stack.name)),
            None if is_required => wrong.push(format!("nothing tells which template stack `{}` had", stack.name)),
            None => {}
        }
    }
    checks.none_wrong(Part::Live, TEMPLATES, &wrong, format!("{}, by the manifest", counted(told.len(), "stack")));
}

fn tested(case: &Case<'_>, functions: &[Function], checks: &mut Checks) {
    if case.manifest().is_none() || case.record().is_none() {
        checks.unknown(
            Part::Live,
            TESTED,
            "without the manifest and the promotion's record it is not known what was tested",
        );
        return;
    }
    let waived = !case.required(Condition::TestedBytes);
    let wrong = functions.iter().filter(|it| it.tested_sha256 != it.promoted_sha256);
    let (untold, wrong): (Vec<_>, Vec<_>) = wrong.partition(|it| it.tested_sha256.is_none() && waived);
    let wrong: Vec<_> = wrong
        .into_iter()
        .map(|it| match it.tested_sha256 {
            Some(tested) => format!("of `{}` the bytes `{tested}` were tested", it.function),
            None => format!("nothing tells which bytes of `{}` were tested", it.function),
        })
        .collect();
    let what = counted(functions.len(), "function");
    if wrong.is_empty() && !untold.is_empty() {
        let untold = counted(untold.len(), "function");
        let detail = format!("of {untold} nothing tells which bytes were tested, and the policy waives `tested-bytes`");
        return checks.waived(Part::Live, TESTED, detail);
    }
    checks.none_wrong(Part::Live, TESTED, &wrong, format!("{what}: tested is promoted, by the manifest"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_differ_where_both_values_are_told_and_are_not_the_same() {
        let planned = json!({
            "module": "MOD-012", "stack": "api", "stack_name": "bank-uat-api", "key": "t", "version_id": "v",
            "sha256": Sha256::of(b""), "size": 2,
            "parameters": {"Stage": "uat", "Same": "1", "Given": "2", "OverADefault": "3", "Kept": "secret"},
        });
        let told = json!([
            {"stack": "api", "name": "Stage", "value": "dev"},
            {"stack": "api", "name": "Same", "value": "1"},
            {"stack": "api", "name": "Given", "value": "1"},
            {"stack": "api", "name": "OverADefault", "value": "1", "is_default": true},
            {"stack": "api", "name": "BothDefault", "value": "1", "is_default": true},
            {"stack": "api", "name": "OnlyDev", "value": "1"},
            {"stack": "api", "name": "Kept"},
            {"stack": "web", "name": "Same", "value": "4"},
        ]);
        let told: Vec<DeployedParameter> = serde_json::from_value(told).unwrap();
        let differing = json!(differing(&told, &serde_json::from_value(planned).unwrap()));
        let expected = json!([
            {"name": "Given", "tested": "1", "stage": "2"},
            {"name": "OverADefault", "tested": "1", "stage": "3"},
            {"name": "OnlyDev", "tested": "1", "stage": null},
        ]);
        assert_eq!(differing, expected);
    }
}
