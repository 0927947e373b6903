//! What is applied to dev, from the stored commit: pure, and with every reason at once.

use std::collections::{BTreeMap, btree_map::Entry};

use apply_stack::assets::{self, Asset};
use aws_sdk_cloudformation::types::Stack;
use gatekeeper_model::{
    finding::Finding,
    ids::{AccountId, RegionName, StageName},
    manifest::{Manifest, SynthesisedFor},
    verdict::{Outcome, SCHEMA_VERSION, Verdict},
};
use gatekeeper_promotion::{
    boundary::Home,
    plan::{Plan, PlannedStack, Subject},
    stage::Stage,
};
use gatekeeper_readers::template::{Template, form::STAGE_PARAMETER};
use jiff::Timestamp;

use super::stored::Stored;
use crate::exit::Misuse;

/// What the gatekeeper gives to a template that declares it (CONTRACT §6), whatever anybody else says.
const GIVEN: [&str; 4] = ["Stage", "CommitSha", "ArtefactBucket", "ArtefactPrefix"];

/// Where a commit is deployed to.
#[derive(Debug)]
pub(super) struct Dev<'a> {
    pub(super) stage: &'a StageName,
    pub(super) account: &'a AccountId,
    pub(super) region: &'a RegionName,
    /// Who deploys, as an ARN.
    pub(super) caller: &'a str,
    pub(super) artefact_bucket: &'a str,
    /// How a stack is called there.
    pub(super) stack_name: &'a str,
    /// The values of the templates' parameters.
    pub(super) parameters: &'a BTreeMap<String, String>,
}

/// That a stage is not one that is deployed so. What the templates were synthesised for is dev; everything else gets there
/// by a promotion, which asks for more than this command does.
pub(super) fn check_stage(stage: &StageName, made_for: Option<&SynthesisedFor>) -> Result<(), Misuse> {
    let dev = made_for.map_or_else(StageName::dev, |made_for| made_for.stage.clone());
    if *stage == dev {
        return Ok(());
    }
    let why = match made_for {
        Some(_) => {
            format!("the commit's templates were synthesised for `{dev}`, which alone is deployed before the tests")
        }
        None => {
            format!("only `{dev}` is deployed before the tests, or what `synthesised_for` of the manifest declares")
        }
    };
    Err(Misuse(format!("{why}: a commit gets to `{stage}` by `gatekeeper promote`, once it is Built")))
}

/// That the parameters are not those that these templates want.
pub(super) fn check_parameters(stored: &Stored, parameters: &BTreeMap<String, String>) -> Result<(), Misuse> {
    let is_declared = |name: &str| stored.declared.values().any(|declared| declared.contains(name));
    let mut wrong: Vec<_> = parameters
        .keys()
        .filter_map(|name| match name.as_str() {
            given if GIVEN.contains(&given) => {
                Some(format!("`{given}` is given by the gatekeeper itself: leave it out"))
            }
            other if !is_declared(other) => Some(format!("no template of the commit declares `{other}`")),
            _ => None,
        })
        .collect();
    for (stack, template) in &stored.templates {
        let wanted = template.parameters.iter().filter(|(_, parameter)| !parameter.has_default).map(|(name, _)| name);
        let missing = wanted.filter(|name| !GIVEN.contains(&name.as_str()) && !parameters.contains_key(*name));
        wrong.extend(
            missing.map(|name| format!("`{name}` of stack `{stack}` has no default: pass `--parameter {name}=VALUE`")),
        );
    }
    if wrong.is_empty() { Ok(()) } else { Err(Misuse(format!("the parameters don't fit:\n  {}", wrong.join("\n  ")))) }
}

/// Why a stack that is there is not dev's to change: a promotion has brought it where it is, or it is another stage's.
pub(super) fn is_promoted(stack: &Stack, stage: &StageName, template: Option<&Template>) -> Option<String> {
    let name = stack.stack_name().unwrap_or_default();
    let of = stack.parameters().iter().find(|it| it.parameter_key() == Some(STAGE_PARAMETER));
    // Who deployed it so far may have left it to the template.
    let default = template.and_then(|it| it.parameters.get(STAGE_PARAMETER)?.default.as_deref());
    let of = of.and_then(|it| it.parameter_value());
    if let Some(other) = of.filter(|value| *value != stage.as_str() && Some(*value) != default) {
        return Some(format!("the stack `{name}` is of the stage `{other}`"));
    }
    // `arn:…:changeSet/gatekeeper-{promotion}-forward/{uuid}`
    let change_set = stack.change_set_id().and_then(|id| id.split('/').nth(1)).unwrap_or_default();
    let promotion = change_set.strip_prefix("gatekeeper-").unwrap_or_default();
    let promotion = promotion.strip_suffix("-forward").or_else(|| promotion.strip_suffix("-back"));
    promotion.map(|id| format!("the stack `{name}` was applied by the promotion `{}`", id.to_uppercase()))
}

/// The plan by which a stage would get the commit, but with the stored templates themselves.
pub(super) fn plan(stored: &Stored, dev: &Dev<'_>) -> Result<Plan, Vec<Finding>> {
    let commit = &stored.commit;
    let verdict = Verdict {
        schema_version: SCHEMA_VERSION,
        repo: commit.repo.clone(),
        commit_sha: commit.sha.clone(),
        manifest_version_id: Some(stored.manifest_version_id.clone()),
        outcome: Outcome::Registered,
        reasons: Vec::new(),
        warnings: Vec::new(),
        artefacts: stored.artefacts.clone(),
        policy_version_id: None,
        policy_sha256: None,
        policy_tests: None,
        compared_with: None,
        recounted: BTreeMap::new(),
        provenance: BTreeMap::new(),
        forms: BTreeMap::new(),
        evaluated_at: Timestamp::UNIX_EPOCH,
    };
    let home = Home {
        artefact_bucket: dev.artefact_bucket.to_owned(),
        // Dev's own rules hold what a pipeline makes there: no boundary is given or asked for.
        stage_boundary_arn: String::new(),
        is_shared: true,
    };
    Plan::of(Subject {
        verdict: &verdict,
        manifest: &as_dev_has_it(&stored.manifest),
        templates: &stored.templates,
        home: &home,
        stage_name: dev.stage,
        stage: &stage(dev),
        rollback_parity: None,
    })
}

/// The manifest of what is deployed: the stored templates are dev's, and the pipeline migrates its databases, and runs Pulumi
/// and dbt, itself.
fn as_dev_has_it(manifest: &Manifest) -> Manifest {
    let mut manifest = manifest.clone();
    manifest.synthesised_for = None;
    manifest.flyway.clear();
    manifest.pulumi = None;
    for module in &mut manifest.modules {
        module.dbt = None;
        module.schemas.clear();
        module.migrations.clear();
        module.script_configurations.clear();
    }
    manifest
}

/// Dev as a stage, which asks for nothing.
fn stage(dev: &Dev<'_>) -> Stage {
    Stage {
        requires: gatekeeper_promotion::stage::Requirement::Built,
        soak_minutes: 0,
        approvals: 0,
        freeze: Vec::new(),
        role_arn: Some(dev.caller.to_owned()),
        stack_role_arn: None,
        stack_name: dev.stack_name.to_owned(),
        parameters: dev.parameters.clone(),
        databases: BTreeMap::new(),
        smoke: Vec::new(),
        allow_private: false,
        accept_stage_literals: true,
        pulumi: BTreeMap::new(),
        dbt: BTreeMap::new(),
        lease_minutes: 60,
    }
}

/// Where everything has to lie before CloudFormation looks for it, each place once. Whatever lies there is left.
pub(super) fn all_assets<'a>(stored: &Stored, plan: &'a Plan, dev: &Dev<'_>) -> Result<Vec<Asset<'a>>, String> {
    let mut all: BTreeMap<(String, String), Asset<'_>> = BTreeMap::new();
    for stack in &plan.stacks {
        let Some(template) = stored.templates.get(&stack.stack) else { continue };
        let placed = assets::assets(template, stack, &plan.functions, dev.account.as_str(), dev.region.as_str())
            .map_err(|why| format!("stack `{}`: {why}", stack.stack_name))?;
        for it in placed {
            let place = format!("{}/{}", it.bucket, it.key);
            // Stacks share assets.
            match all.entry((it.bucket.clone(), it.key.clone())) {
                Entry::Occupied(other) if other.get().bundle.sha256 != it.bundle.sha256 => {
                    return Err(format!("two stacks take other bytes from the one place `{place}`: build them again"));
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(free) => drop(free.insert(Asset { is_kept: true, ..it })),
            }
        }
    }
    Ok(all.into_values().collect())
}

/// A stack with the parameters that its stored template declares: a portable form declares more.
pub(super) fn applied(stored: &Stored, stack: &PlannedStack) -> PlannedStack {
    let mut stack = stack.clone();
    let declared = stored.declared.get(&stack.stack);
    stack.parameters.retain(|name, _| declared.is_some_and(|declared| declared.contains(name)));
    stack
}
