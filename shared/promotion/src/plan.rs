//! What a promotion will apply, everything pinned by version id and SHA-256.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    finding::{Code, Finding},
    ids::{
        AssetKey, Commit, DatabaseName, FunctionName, ImageDigest, MigrationPath, ModuleId, PartitionedTable, Sha256,
        StackName, StageName, VersionId,
    },
    manifest::{Asset, AssetKind, Manifest, SynthesisedFor},
    place::Place,
    store_key::ArtefactPath,
    verdict::{TemplateForm, Verdict},
};
use gatekeeper_readers::{
    template,
    template::{Template, Text, form},
};
use serde::{Deserialize, Serialize};

use super::boundary::{BOUNDARY_PARAMETER, Home};
use crate::{
    runs,
    runs::PlannedRun,
    stage::{SchemaParity, SmokeCheck, SmokeTarget, Stage},
};

/// The largest template that CloudFormation takes in a call, in bytes; a larger one has to be an object in S3
/// (CloudFormation quotas, "Template body size in a request").
pub const MAX_TEMPLATE_BODY: usize = 51_200;

/// One stored object, as it will be applied and in no other version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// Its key in the artefact bucket.
    pub key: String,
    /// Its version.
    pub version_id: VersionId,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

impl Pinned {
    /// The object at a place, as the verdict accounts for it.
    fn of(verdict: &Verdict, path: &ArtefactPath) -> Result<Self, Finding> {
        let artefact = verdict.artefact(path).ok_or_else(|| {
            let message = "the verdict does not account for it";
            Finding::new(Code::ArtefactMissing, path.of(&verdict.commit()), message)
        })?;
        let (key, version_id) = (artefact.key.clone(), artefact.version_id.clone());
        Ok(Self { key, version_id, sha256: artefact.sha256, size: artefact.size })
    }
}

/// Everything that a promotion applies, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The templates, in the manifest's order.
    pub stacks: Vec<PlannedStack>,
    /// The bundles.
    pub functions: Vec<PlannedFunction>,
    /// The migrations, in the manifest's order.
    pub migrations: Vec<PlannedMigration>,
    /// The databases that are migrated or compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<PlannedDatabase>,
    /// What a runner carries out: after the databases are migrated, and before anything is asked whether it works.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<PlannedRun>,
    /// What must answer afterwards.
    pub smoke: Vec<SmokeCheck>,
}

impl Plan {
    /// The functions that run a container image by its tag, each with its stack.
    pub fn image_functions(&self) -> impl Iterator<Item = (&PlannedStack, &PlannedImage)> {
        let images = self.stacks.iter().flat_map(|stack| stack.images.iter().map(move |image| (stack, image)));
        images.filter(|(_, image)| image.is_function)
    }

    /// Every stored object that it applies.
    pub fn pinned(&self) -> impl Iterator<Item = &Pinned> {
        let Self { stacks, functions, migrations, databases, runs, smoke: _ } = self;
        // A file may be an asset of several stacks, and a bundle one of a nested stack.
        let mut seen: BTreeSet<&str> = functions.iter().map(|it| it.bundle.key.as_str()).collect();
        let assets = stacks.iter().flat_map(|it| &it.assets).map(|it| &it.file);
        let assets = assets.filter(move |it| seen.insert(it.key.as_str()));
        let stacks = stacks.iter().map(|it| &it.template);
        let functions = functions.iter().map(|it| &it.bundle);
        let migrations = migrations.iter().map(|it| &it.script);
        stacks
            .chain(assets)
            .chain(functions)
            .chain(migrations)
            .chain(databases.iter().flat_map(PlannedDatabase::pinned))
            .chain(runs.iter().filter_map(PlannedRun::pinned))
    }
}

/// A template and the stack that it becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStack {
    /// The module that it belongs to.
    pub module: ModuleId,
    /// The stack, as the repository calls it.
    pub stack: StackName,
    /// Its name in the stage.
    pub stack_name: StackName,
    /// The template.
    #[serde(flatten)]
    pub template: Pinned,
    /// What has to lie in an asset bucket of the stage before the template is applied, beside the bundles of its own
    /// functions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<PlannedAsset>,
    /// The container images that its template names by a tag, each with the digest that dev tested: the stage's registry has
    /// to have that one under the tag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<PlannedImage>,
    /// What the stage gets in place of a template that names what it was synthesised for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<PlannedForm>,
    /// The values of those parameters that the template declares.
    pub parameters: BTreeMap<String, String>,
    /// The stack's tags, which CloudFormation hands on to its resources.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Whether CloudFormation shall refuse to delete the stack once it stands.
    #[serde(default, skip_serializing_if = "gatekeeper_model::is_default")]
    pub termination_protection: bool,
}

/// A stored file and where the template of a stack takes it from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedAsset {
    /// The module that it belongs to.
    pub module: ModuleId,
    /// The resource that takes it, by the logical ids that lead to it: of one in a nested stack `Inner/Handler`.
    pub resource: String,
    /// What it is taken for.
    pub kind: AssetKind,
    /// The bucket's name.
    pub bucket: Text,
    /// The key in it. That of the stored file is another one.
    pub asset_key: AssetKey,
    /// The file.
    #[serde(flatten)]
    pub file: Pinned,
}

/// A container image that the template of a stack names by a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedImage {
    /// The resource that runs it, by the logical ids that lead to it.
    pub resource: String,
    /// The property that names it.
    pub property: String,
    /// How it is named, with the registry of the stage's account once that is known.
    pub image: Text,
    /// The digest that was tested.
    pub digest: ImageDigest,
    /// Whether a Lambda function runs it, which tells what it runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_function: bool,
}

impl PlannedImage {
    /// What reports and looks call the function of `stack` that runs it: no bundle has such a name.
    #[must_use]
    pub fn function(&self, stack: &StackName) -> String {
        format!("{stack}/{}", self.resource)
    }
}

/// The portable form of a template, which follows from the pinned template and from what the manifest declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedForm {
    /// The literals of the stored template that it leaves to the stage.
    pub synthesised_for: SynthesisedFor,
    /// Its digests, as they were attested.
    #[serde(flatten)]
    pub told: TemplateForm,
}

impl PlannedStack {
    /// The SHA-256 of the template that the stage's stack has: the form's where there is one.
    #[must_use]
    pub fn applied_sha256(&self) -> Sha256 {
        self.form.as_ref().map_or(self.template.sha256, |form| form.told.sha256)
    }

    /// The SHA-256 of the template that each nested stack of the stage has, by the logical ids that lead to it.
    #[must_use]
    pub fn nested_templates(&self) -> BTreeMap<&str, Sha256> {
        let nested = self.assets.iter().filter(|it| it.kind == AssetKind::Template);
        let sha256 = |it: &PlannedAsset| self.nested_form(it).map_or(it.file.sha256, |form| form.sha256);
        nested.map(|it| (it.resource.as_str(), sha256(it))).collect()
    }

    /// The portable form that the stage gets of a nested template; none where it gets the stored one.
    #[must_use]
    pub fn nested_form(&self, asset: &PlannedAsset) -> Option<&TemplateForm> {
        let nested = &self.form.as_ref().filter(|_| asset.kind == AssetKind::Template)?.told.nested;
        nested.get(&asset.asset_key)
    }
}

/// A bundle and the function that it becomes the code of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFunction {
    /// The module that it belongs to.
    pub module: ModuleId,
    /// The bundle's name.
    pub function: FunctionName,
    /// The stack, as the repository calls it.
    pub stack: StackName,
    /// The stack's name in the stage.
    pub stack_name: StackName,
    /// The function's logical id in the stack.
    pub logical_id: String,
    /// The bundle.
    #[serde(flatten)]
    pub bundle: Pinned,
}

/// A migration of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMigration {
    /// The module that it belongs to.
    pub module: ModuleId,
    /// The database.
    pub database: DatabaseName,
    /// The file's path below the database's `migrations/` folder.
    pub file: MigrationPath,
    /// The file.
    #[serde(flatten)]
    pub script: Pinned,
    /// Whether the stage's database has run it; `None` where nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<MigrationState>,
}

/// Whether a stage's database has run a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationState {
    /// It has.
    Applied,
    /// The promotion will run it.
    Pending,
}

/// A database of the stage, and what it is held against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedDatabase {
    /// The database.
    pub database: DatabaseName,
    /// The modules that have migrations or a snapshot of it.
    pub modules: BTreeSet<ModuleId>,
    /// The secret that holds how to reach it.
    pub secret_arn: String,
    /// What a live schema that is not the tested one means: the stage's own rule; for a rollback required, unless the
    /// request accepts a difference.
    pub schema_parity: SchemaParity,
    /// Squawk's rules that no pending migration may break.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub refuse_migrations: BTreeSet<String>,
    /// The migrations that may break those rules nevertheless.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accept_migrations: BTreeSet<MigrationPath>,
    /// Whether a required parity holds where the older of two servers can't hold what the newer one's schema says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_server_limits: bool,
    /// The tables whose partitions are by their form only compared: the stage's and the manifest's.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub partitions: BTreeSet<PartitionedTable>,
    /// Where the database is, as far as the stage tells.
    #[serde(flatten)]
    pub place: Place,
    /// The stage's values for the migrations' placeholders, which go before those of the configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub placeholders: BTreeMap<String, String>,
    /// The `flyway.toml` that Flyway is configured by; `None` where it runs by its own defaults, as in dev.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Pinned>,
    /// The configurations of single scripts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub script_configurations: Vec<PlannedScriptConfiguration>,
    /// Schema histories in the same database that are other modules', as `schema.table`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub other_histories: BTreeSet<String>,
    /// Flyway's checksum of each migration as it was validated in dev: the manifest's `flyway.{database}.checksums`.
    pub checksums: BTreeMap<String, Option<i32>>,
    /// The snapshot of the schema that was integration-tested.
    pub snapshot: Pinned,
}

/// The configuration of one migration or callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedScriptConfiguration {
    /// The module that it belongs to.
    pub module: ModuleId,
    /// The script that it is the configuration of, by its path below the database's `migrations/` folder.
    pub script: MigrationPath,
    /// The file.
    #[serde(flatten)]
    pub file: Pinned,
}

impl PlannedDatabase {
    /// Every stored object that it names itself: not the migrations, which are the plan's.
    pub fn pinned(&self) -> impl Iterator<Item = &Pinned> {
        let scripts = self.script_configurations.iter().map(|it| &it.file);
        std::iter::once(&self.snapshot).chain(&self.configuration).chain(scripts)
    }
}

/// What a plan is made of.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The commit's verdict, which pins every object.
    pub verdict: &'a Verdict,
    /// The commit's manifest, in the version that the verdict is on.
    pub manifest: &'a Manifest,
    /// What its templates say, by the stack's name.
    pub templates: &'a BTreeMap<StackName, Template>,
    /// Where the gatekeeper is.
    pub home: &'a Home,
    /// The stage's name.
    pub stage_name: &'a StageName,
    /// The stage.
    pub stage: &'a Stage,
    /// What a difference between the live and the tested schema means to a rollback; none for a promotion, where the
    /// stage's databases tell.
    pub rollback_parity: Option<SchemaParity>,
}

impl Plan {
    /// Plans the promotion of a commit.
    ///
    /// # Errors
    /// Every reason why it can't be applied to this stage.
    pub fn of(subject: Subject<'_>) -> Result<Self, Vec<Finding>> {
        let Subject { verdict, manifest, templates, home, stage_name, stage, .. } = subject;
        let commit = verdict.commit();
        let (mut plan, mut wrong) = (Self::default(), Vec::new());
        let pin = |path: ArtefactPath| Pinned::of(verdict, &path);
        let name_of = |stack: &StackName| stage.stack_name_of(&commit.repo, stage_name, stack);

        for module in &manifest.modules {
            for stack in &module.stacks {
                let path = ArtefactPath::Template(module.id.clone(), stack.name.clone());
                let nested = templates.get(&stack.name).filter(|template| !template.nested.is_empty());
                if nested.is_some() {
                    let message = "it has nested stacks, whose templates CloudFormation would fetch in whatever version \
                                   is there by then: list them as stacks of their own instead";
                    wrong.push(Finding::new(Code::NotSupportedYet, path.of(&commit), message));
                }
                let given = parameters(&commit, &module.id, home, stage_name, stage);
                let parameters = match templates.get(&stack.name) {
                    Some(template) => {
                        let declared = declared(&path.of(&commit), template, &given, &mut wrong);
                        wrong.extend(home.unbound(stage, template, &declared, &path.of(&commit)));
                        declared
                    }
                    None => {
                        wrong.push(Finding::new(Code::TemplateInvalid, path.of(&commit), "it was never inspected"));
                        continue;
                    }
                };
                wrong.extend(names_dev(stage, home, manifest, templates.get(&stack.name), &path.of(&commit)));
                let planned = planned_form(subject, &stack.name, &path.of(&commit));
                let assets = planned_assets(subject, &stack.name, &path.of(&commit), &pin, &mut wrong);
                let images = planned_images(subject, &stack.name, &path.of(&commit), &mut wrong);
                let tags = planned_tags(subject, &stack.tags, &path.of(&commit), &mut wrong);
                let pinned = pin(path).and_then(|template| Ok((template, planned?)));
                match (pinned, name_of(&stack.name)) {
                    (Ok((template, form)), Ok(stack_name)) => plan.stacks.push(PlannedStack {
                        module: module.id.clone(),
                        stack: stack.name.clone(),
                        stack_name,
                        template,
                        assets,
                        images,
                        form,
                        parameters,
                        tags,
                        termination_protection: stack.termination_protection == Some(true),
                    }),
                    (pinned, named) => wrong.extend(pinned.err().into_iter().chain(named.err())),
                }
            }
            for function in &module.functions {
                let path = ArtefactPath::Function(module.id.clone(), function.name.clone());
                match (pin(path), name_of(&function.stack)) {
                    (Ok(bundle), Ok(stack_name)) => plan.functions.push(PlannedFunction {
                        module: module.id.clone(),
                        function: function.name.clone(),
                        stack: function.stack.clone(),
                        stack_name,
                        logical_id: function.logical_id.clone(),
                        bundle,
                    }),
                    (pinned, named) => wrong.extend(pinned.err().into_iter().chain(named.err())),
                }
            }
            for migration in &module.migrations {
                let path =
                    ArtefactPath::Migration(module.id.clone(), migration.database.clone(), migration.file.clone());
                match pin(path) {
                    Ok(script) => plan.migrations.push(PlannedMigration {
                        module: module.id.clone(),
                        database: migration.database.clone(),
                        file: migration.file.clone(),
                        script,
                        state: None,
                    }),
                    Err(finding) => wrong.push(finding),
                }
            }
        }
        let handed = templates.iter().map(|(stack, template)| (stack, &template.handed)).collect();
        wrong.extend(template::check_handed(manifest, &handed));
        plan.databases = databases(subject, &pin, &mut wrong);
        plan.runs = runs::plan(subject, &pin, &mut wrong);
        plan.smoke = smoke(&commit, manifest, templates, stage, &mut wrong);
        wrong.extend(nothing_to_promote(&plan, &commit, manifest));
        wrong.sort();
        wrong.dedup();
        if wrong.is_empty() { Ok(plan) } else { Err(wrong) }
    }

    /// The modules that something is applied of.
    #[must_use]
    pub fn modules(&self) -> BTreeSet<&ModuleId> {
        let stacks = self.stacks.iter().map(|it| &it.module);
        let functions = self.functions.iter().map(|it| &it.module);
        let runs = self.runs.iter().flat_map(PlannedRun::modules);
        stacks.chain(functions).chain(self.databases.iter().flat_map(|it| &it.modules)).chain(runs).collect()
    }

    /// The migrations that the stage's databases had not run when it was looked.
    pub fn pending(&self) -> impl Iterator<Item = &PlannedMigration> {
        self.migrations.iter().filter(|it| it.state == Some(MigrationState::Pending))
    }

    /// What is applied of a module.
    #[must_use]
    pub fn artefacts_of(&self, module: &ModuleId) -> Vec<&Pinned> {
        let stacks = self.stacks.iter().filter(|it| it.module == *module).map(|it| &it.template);
        let assets = self.stacks.iter().flat_map(|it| &it.assets).filter(|it| it.module == *module).map(|it| &it.file);
        let mut seen: BTreeSet<&str> = self.functions.iter().map(|it| it.bundle.key.as_str()).collect();
        let assets = assets.filter(|it| seen.insert(it.key.as_str()));
        let functions = self.functions.iter().filter(|it| it.module == *module).map(|it| &it.bundle);
        let migrations = self.migrations.iter().filter(|it| it.module == *module).map(|it| &it.script);
        let runs = self.runs.iter().filter(|it| it.module() == Some(module)).filter_map(PlannedRun::pinned);
        stacks.chain(assets).chain(functions).chain(migrations).chain(runs).collect()
    }
}

/// That a commit has nothing which any step or runner could apply.
fn nothing_to_promote(plan: &Plan, commit: &Commit, manifest: &Manifest) -> Option<Finding> {
    let has_runs = manifest.pulumi.is_some() || manifest.modules.iter().any(|it| it.dbt.is_some());
    let message = "the commit has no CloudFormation template, no Pulumi program and no dbt models, so there is nothing to \
                   apply to a stage";
    let has_nothing = plan.stacks.is_empty() && !has_runs;
    has_nothing.then(|| Finding::new(Code::NothingToPromote, commit.to_string(), message))
}

/// What a stack's template takes from asset buckets, but for the bundles of its own functions.
fn planned_assets(
    subject: Subject<'_>,
    stack: &StackName,
    key: &str,
    pin: &impl Fn(ArtefactPath) -> Result<Pinned, Finding>,
    wrong: &mut Vec<Finding>,
) -> Vec<PlannedAsset> {
    let Subject { manifest, templates, .. } = subject;
    let Some(template) = templates.get(stack) else { return Vec::new() };
    let modules = || manifest.modules.iter();
    let mut planned = Vec::new();
    for it in &template.assets {
        let listed = modules().find_map(|module| {
            let is_it = |asset: &&Asset| asset.stack == *stack && asset.key == it.key && asset.kind == it.kind;
            Some((&module.id, module.assets.iter().find(is_it)?))
        });
        let Some((module, asset)) = listed else {
            if !it.is_guess {
                let message = format!("no asset of the manifest is `{}`, which `{}` takes", it.key, it.resource);
                wrong.push(Finding::new(Code::TemplateCodeOutsideStore, key, message));
            }
            continue;
        };
        match pin(ArtefactPath::Asset(module.clone(), asset.file())) {
            Ok(file) => planned.push(PlannedAsset {
                module: module.clone(),
                resource: it.resource.clone(),
                kind: it.kind,
                bucket: it.bucket.clone(),
                asset_key: it.key.clone(),
                file,
            }),
            Err(finding) => wrong.push(finding),
        }
    }
    // CloudFormation takes the code of a nested stack's functions while it makes the stack that they are nested in.
    for (module, function) in modules().flat_map(|module| module.functions.iter().map(move |it| (&module.id, it))) {
        if function.stack != *stack || !template::is_nested(&function.logical_id) {
            continue;
        }
        let code = template.functions.get(&function.logical_id).map(|it| &it.code);
        let Some(template::Code::AssetBucket { bucket, key: asset_key }) = code else { continue };
        let path = ArtefactPath::Function(module.clone(), function.name.clone());
        match (asset_key.as_literal().and_then(|it| it.parse().ok()), pin(path)) {
            (Some(asset_key), Ok(file)) => planned.push(PlannedAsset {
                module: module.clone(),
                resource: function.logical_id.clone(),
                kind: AssetKind::File,
                bucket: bucket.clone(),
                asset_key,
                file,
            }),
            (None, _) => {
                let message = format!("where `{}` has its code can't be told: `{asset_key}`", function.logical_id);
                wrong.push(Finding::new(Code::TemplateCodeOutsideStore, key, message));
            }
            (_, Err(finding)) => wrong.push(finding),
        }
    }
    planned
}

/// The images that a stack's template names by a tag, with the digests that the manifest tells. The gate has refused a commit
/// that does not tell one of them; before the integration tests there is nothing to tell.
fn planned_images(subject: Subject<'_>, stack: &StackName, key: &str, wrong: &mut Vec<Finding>) -> Vec<PlannedImage> {
    let Subject { manifest, templates, .. } = subject;
    let Some(tests) = &manifest.tests.integration else { return Vec::new() };
    let told: Vec<_> = tests.images.iter().filter(|it| it.stack == *stack).collect();
    let mut planned = Vec::new();
    for it in templates.get(stack).into_iter().flat_map(|template| &template.images) {
        let digest = told.iter().find(|told| told.logical_id == it.resource && told.property == it.property);
        match digest {
            Some(told) => planned.push(PlannedImage {
                resource: it.resource.clone(),
                property: it.property.clone(),
                image: it.image.clone(),
                digest: told.digest,
                is_function: it.is_function,
            }),
            None => {
                let message =
                    format!("nothing tells the digest of the image `{}` that `{}` runs", it.image, it.resource);
                wrong.push(Finding::new(Code::TestedBytesMissing, key, message));
            }
        }
    }
    planned
}

/// The form of a template, as the verdict attests it; none where the template itself fits any stage.
fn planned_form(subject: Subject<'_>, stack: &StackName, key: &str) -> Result<Option<PlannedForm>, Finding> {
    let Subject { verdict, manifest, templates, .. } = subject;
    let Some(synthesised_for) = &manifest.synthesised_for else { return Ok(None) };
    let derived = templates.get(stack).and_then(|template| template.form.as_ref());
    match (derived, verdict.forms.get(stack)) {
        (Some(derived), Some(attested)) if derived == attested => {
            let has_bucket = |it: &Template| {
                !it.assets.is_empty()
                    || it.functions.values().any(|of| matches!(of.code, template::Code::AssetBucket { .. }))
            };
            if derived.size > MAX_TEMPLATE_BODY as u64 && !templates.get(stack).is_some_and(has_bucket) {
                let message = format!(
                    "its portable form has {} bytes, CloudFormation takes {MAX_TEMPLATE_BODY} in a call, and it names no \
                     asset bucket of the stage for more: divide the stack",
                    derived.size
                );
                return Err(Finding::new(Code::NotSupportedYet, key, message));
            }
            Ok(Some(PlannedForm { synthesised_for: synthesised_for.clone(), told: attested.clone() }))
        }
        _ => {
            let message =
                "the verdict does not attest the form that follows from it: let the gate judge the commit again";
            Err(Finding::new(Code::TemplateFormInvalid, key, message))
        }
    }
}

/// A stack's tags as the stage has them: what names dev's stage names this one.
fn planned_tags(
    subject: Subject<'_>,
    tags: &BTreeMap<String, String>,
    key: &str,
    wrong: &mut Vec<Finding>,
) -> BTreeMap<String, String> {
    let Some(made_for) = &subject.manifest.synthesised_for else { return tags.clone() };
    let stage = BTreeMap::from([(form::STAGE_PARAMETER.to_owned(), subject.stage_name.to_string())]);
    let mut planned = BTreeMap::new();
    for (name, value) in tags {
        match form::of_value(name, value, made_for).resolve(&stage) {
            Some(value) => drop(planned.insert(name.clone(), value)),
            None => {
                let message = format!(
                    "the stack's tag `{name}` names dev's account or region, which the stage's tag can't: `{value}`; \
                     leave it out of the tag"
                );
                wrong.push(Finding::new(Code::TemplateNotPortable, key, message));
            }
        }
    }
    planned
}

/// That a stage which shares dev's account would get a template that names dev, whose things are there.
fn names_dev(
    stage: &Stage,
    home: &Home,
    manifest: &Manifest,
    template: Option<&Template>,
    key: &str,
) -> Option<Finding> {
    let names = &template?.names_stage;
    let first = names.first()?;
    // What a manifest declares may be false: of the gatekeeper's own account it is taken that dev is there too.
    let dev = manifest.synthesised_for.as_ref().map(|dev| dev.account.as_str());
    let is_with_dev = dev == Some(home.account_of(stage)) || home.hosts(stage);
    if stage.accept_stage_literals || !is_with_dev {
        return None;
    }
    let message = format!(
        "it names the stage that it was synthesised for, whose things are in the same account `{}`; of {} such places \
         the first is `{}`: `{}`. Write them by the parameter `Stage`, or accept them by `accept_stage_literals` of the \
         stage",
        home.account_of(stage),
        names.len(),
        first.place,
        first.text
    );
    Some(Finding::new(Code::TemplateNamesStage, key, message))
}

/// The parameters that the gatekeeper and the stage have values for (CONTRACT §6).
fn parameters(
    commit: &Commit,
    module: &ModuleId,
    home: &Home,
    stage_name: &StageName,
    stage: &Stage,
) -> BTreeMap<String, String> {
    let mut given = stage.parameters.clone();
    // In another account the stage names a boundary of that account, if it has one.
    if home.hosts(stage) {
        given.insert(BOUNDARY_PARAMETER.to_owned(), home.stage_boundary_arn.clone());
    }
    for (name, value) in [
        ("Stage", stage_name.to_string()),
        ("CommitSha", commit.sha.to_string()),
        ("ArtefactBucket", home.artefact_bucket.clone()),
        ("ArtefactPrefix", commit.module_prefix(module)),
    ] {
        given.insert(name.to_owned(), value);
    }
    given
}

/// Those of them that the template declares; what it needs beyond them is missing.
fn declared(
    subject: &str,
    template: &Template,
    given: &BTreeMap<String, String>,
    wrong: &mut Vec<Finding>,
) -> BTreeMap<String, String> {
    for (name, parameter) in &template.parameters {
        if !parameter.has_default && !given.contains_key(name) {
            let message = format!("`{name}` has no default and the stage gives no value: add it to its `parameters`");
            wrong.push(Finding::new(Code::ParameterMissing, subject, message));
        }
    }
    let declared = given.iter().filter(|(name, _)| template.parameters.contains_key(*name));
    declared.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The commit's databases as the stage has them.
fn databases(
    subject: Subject<'_>,
    pin: &impl Fn(ArtefactPath) -> Result<Pinned, Finding>,
    wrong: &mut Vec<Finding>,
) -> Vec<PlannedDatabase> {
    let Subject { manifest, stage_name, stage, rollback_parity, .. } = subject;
    let mut planned = Vec::new();
    let migrated: BTreeSet<_> = manifest.modules.iter().flat_map(|it| &it.migrations).map(|it| &it.database).collect();
    for name in manifest.databases() {
        // A snapshot alone is evidence of what was tested: a stage without such a database has nothing to apply.
        if !migrated.contains(name) && !stage.databases.contains_key(name) {
            continue;
        }
        // Where several modules have a snapshot, the gate has seen that they are of one schema.
        let snapshot = manifest.modules.iter().find_map(|module| {
            let schema = module.schemas.iter().find(|schema| schema.database == *name)?;
            Some(pin(ArtefactPath::Schema(module.id.clone(), schema.database.clone())))
        });
        let snapshot = snapshot.unwrap_or_else(|| {
            let message = "the commit holds migrations of it and no schema snapshot";
            Err(Finding::new(Code::SchemaSnapshotMissing, name.as_str(), message))
        });
        let configured = stage.databases.get(name).ok_or_else(|| {
            let message =
                format!("add it to `databases` of `{stage_name}` in config/stages.json, with its `secret_arn`");
            Finding::new(Code::DatabaseNotConfigured, name.as_str(), message)
        });
        let flyway = manifest.flyway.get(name);
        let configuration = flyway.and_then(|flyway| flyway.configuration.as_ref()).and_then(|it| it.modules.first());
        let configuration = configuration.map(|it| pin(ArtefactPath::FlywayConfiguration(it.clone(), name.clone())));
        let (script_configurations, unpinned) = script_configurations(manifest, name, pin);
        wrong.extend(unpinned);
        let configuration = configuration.transpose();
        match (configured, snapshot, configuration) {
            (Ok(configured), Ok(snapshot), Ok(configuration)) => planned.push(PlannedDatabase {
                database: name.clone(),
                modules: manifest.modules_of(name).cloned().collect(),
                secret_arn: configured.secret_arn.clone(),
                schema_parity: rollback_parity.unwrap_or(configured.schema_parity),
                refuse_migrations: configured.refuse_migrations.clone(),
                accept_migrations: configured.accept_migrations.clone(),
                accept_server_limits: configured.accept_server_limits,
                partitions: configured.partitions.iter().chain(manifest.partitions_of(name)).cloned().collect(),
                place: configured.place(),
                placeholders: configured.placeholders.clone(),
                configuration,
                script_configurations,
                other_histories: configured.other_histories.clone(),
                checksums: flyway.map(|flyway| flyway.checksums.clone()).unwrap_or_default(),
                snapshot,
            }),
            (configured, snapshot, configuration) => {
                wrong.extend(configured.err().into_iter().chain(snapshot.err()).chain(configuration.err()));
            }
        }
    }
    planned
}

/// The configurations of the scripts of a database, and why one can't be pinned.
fn script_configurations(
    manifest: &Manifest,
    database: &DatabaseName,
    pin: &impl Fn(ArtefactPath) -> Result<Pinned, Finding>,
) -> (Vec<PlannedScriptConfiguration>, Vec<Finding>) {
    let (mut planned, mut wrong) = (Vec::new(), Vec::new());
    for module in &manifest.modules {
        for it in module.script_configurations.iter().filter(|it| it.database == *database) {
            let path = ArtefactPath::ScriptConfiguration(module.id.clone(), database.clone(), it.script.clone());
            match pin(path) {
                Ok(file) => {
                    let (module, script) = (module.id.clone(), it.script.clone());
                    planned.push(PlannedScriptConfiguration { module, script, file });
                }
                Err(finding) => wrong.push(finding),
            }
        }
    }
    (planned, wrong)
}

/// The stage's checks that are about this commit's stacks and functions.
fn smoke(
    commit: &Commit,
    manifest: &Manifest,
    templates: &BTreeMap<StackName, Template>,
    stage: &Stage,
    wrong: &mut Vec<Finding>,
) -> Vec<SmokeCheck> {
    let mut checks = Vec::new();
    for check in stage.smoke.iter().filter(|check| check.repo.as_ref().is_none_or(|repo| *repo == commit.repo)) {
        let (subject, there) = match &check.target {
            SmokeTarget::Http { stack, output, .. } => {
                let template = templates.get(stack);
                if let Some(template) = template
                    && !template.outputs.contains(output)
                {
                    let message = format!("the smoke check's output `{output}` is not one of the stack's");
                    wrong.push(Finding::new(Code::SmokeUnknownTarget, stack.as_str(), message));
                    continue;
                }
                (stack.as_str(), template.is_some())
            }
            SmokeTarget::Invoke { function, .. } => {
                (function.as_str(), manifest.functions().any(|it| it.name == *function))
            }
        };
        if there {
            checks.push(check.clone());
        } else if check.repo.is_some() {
            let message = "the stage's smoke check for this repository names it, the commit does not have it";
            wrong.push(Finding::new(Code::SmokeUnknownTarget, subject, message));
        }
    }
    checks
}
