//! One stack of a promotion: what CloudFormation says of it, and doing what comes next.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use aws_config::SdkConfig;
use aws_sdk_cloudformation::{
    Client,
    error::SdkError,
    types::{
        Capability, ChangeSetType, EventFilter, HookFailureMode, OperationEvent, Parameter, ResourceStatus, StackEvent,
        StackStatus, Tag, TemplateStage,
    },
};
use gatekeeper_aws::{
    failure::{Failure, code, message},
    lambda::FunctionError,
    registry::Registry,
    s3::S3Store,
    s3_client, stack_functions,
};
use gatekeeper_model::{
    ids::{AssetKey, Commit, Sha256},
    manifest::AssetKind,
    telemetry::{Logger, chain, wall_clock},
};
use gatekeeper_promotion::{
    facts::{StackFacts, Told},
    plan,
    plan::{Pinned, PlannedForm, PlannedFunction, PlannedStack},
    replacement,
    replacement::ResourcePath,
    step::{Report, ReportStatus},
};
use gatekeeper_readers::{
    template,
    template::{
        Template,
        form::Form,
        forms::{self, Forms},
    },
};
use gatekeeper_store::ReadStore as _;
use jiff::Timestamp;
use serde_json::json;

use crate::{
    assets::{self, Copier},
    changes,
    decide::{ChangeSet, Next, Seen, next},
    events::{self, Event, Reason},
    images,
    stop::Stop,
    template_url::{S3Address, object_url, template_url},
};

/// The most things that one invocation does for one stack: a stack needs three.
const MAX_ACTIONS: u32 = 8;

/// How long CloudFormation gets before it is looked at again for the first time.
pub const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The pause before a look doubles so often.
const LONGEST_PAUSE: u32 = 4;

/// The most pages of events (100 each) that are read for the reasons of a failure.
const MAX_EVENT_PAGES: usize = 20;

pub(crate) const CLOUDFORMATION: &str = "CloudFormationFailed";

/// Everything that applying a stack needs.
#[derive(Debug)]
pub struct StackWork<'a> {
    /// CloudFormation in the stage's account.
    pub cloudformation: Client,
    /// S3 in the stage's account.
    pub s3: aws_sdk_s3::Client,
    /// ECR in the stage's account.
    pub registry: Registry,
    /// STS in the stage's account.
    pub sts: aws_sdk_sts::Client,
    /// The region of all of it.
    pub region: String,
    /// Where S3 answers when it isn't at its usual address.
    pub s3_endpoint: Option<&'a str>,
    /// The artefact bucket, with the step's own rights.
    pub artefacts: &'a S3Store,
    /// The role that CloudFormation takes; none for the step's or the stage's own.
    pub stack_role_arn: Option<&'a str>,
    /// The commit that is applied.
    pub commit: &'a Commit,
    /// Its bundles.
    pub functions: &'a [PlannedFunction],
    /// The resources that hold data and that may be replaced or removed nevertheless.
    pub accept_replacement: &'a BTreeSet<ResourcePath>,
    /// What the way forward made in each stack, where this is the way back.
    pub made: BTreeMap<String, BTreeSet<Vec<String>>>,
    /// What the change set of every stack is called.
    pub change_set_name: String,
    /// What is made to lie in the stage's asset bucket before a change set is made.
    pub provides: Provides,
    /// How long CloudFormation gets before it is looked at again in the same invocation, and twice as long each time after.
    pub look_again: Duration,
    /// Where it tells of its work.
    pub log: &'a Logger,
}

/// What is made to lie in the stage's asset bucket before a change set is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provides {
    /// All that the template names there.
    All,
    /// Only what CloudFormation itself reads to make the change set: templates, under names that are their digests.
    Templates,
    /// Nothing: whoever asks has made it lie there.
    Nothing,
}

/// The template that the stage gets.
pub(crate) struct Applied {
    /// The stored template.
    stored: Vec<u8>,
    /// Its portable form, where the stage gets that.
    form: Option<String>,
    /// The portable forms of nested templates, by the keys of the stored ones.
    nested: BTreeMap<AssetKey, Form>,
}

impl Applied {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.form.as_deref().map_or(self.stored.as_slice(), str::as_bytes)
    }
}

/// What CloudFormation makes the change set of.
enum Document {
    /// The template at this URL.
    At(String),
    /// The portable form, which is no object of the store.
    Form(String),
}

/// A look at a stack.
pub(crate) struct Look {
    pub(crate) seen: Seen,
    stack_id: Option<String>,
    /// Whether CloudFormation refuses to delete it.
    is_protected: bool,
    /// The names that it exports.
    pub(crate) exports: Vec<String>,
}

impl Look {
    /// Whether the stack has nothing yet.
    fn is_new(&self) -> bool {
        self.seen.stack == Some(StackStatus::ReviewInProgress)
    }
}

/// Whose events are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EventsOf<'a> {
    /// A stack's, by its name.
    Stack(&'a str),
    /// A change set's, by its ARN: CloudFormation doesn't take its name.
    ChangeSet(&'a str),
}

/// What nobody gave up.
static NOTHING: BTreeSet<ResourcePath> = BTreeSet::new();

impl<'a> StackWork<'a> {
    /// The work on the stacks of a commit without bundles in the account of `stage`: all that it takes is provided, and
    /// nothing that holds data may be lost. `log` is where it tells of its work.
    #[must_use]
    pub fn new(
        stage: &SdkConfig,
        artefacts: &'a S3Store,
        commit: &'a Commit,
        change_set_name: String,
        log: &'a Logger,
    ) -> Self {
        Self {
            cloudformation: Client::new(stage),
            s3: s3_client(stage),
            registry: Registry::new(stage),
            sts: aws_sdk_sts::Client::new(stage),
            region: stage.region().map(ToString::to_string).unwrap_or_default(),
            s3_endpoint: None,
            artefacts,
            stack_role_arn: None,
            commit,
            functions: &[],
            accept_replacement: &NOTHING,
            made: BTreeMap::new(),
            change_set_name,
            provides: Provides::All,
            look_again: LOOK_AGAIN,
            log,
        }
    }
}

impl StackWork<'_> {
    /// Takes a stack as far as it goes without waiting for CloudFormation. What must not be forgotten is in `report`
    /// as soon as it has happened.
    ///
    /// # Errors
    /// [`Stop`]
    pub async fn advance(&self, stack: &PlannedStack, report: &mut Report<StackFacts>) -> Result<(), Stop> {
        for action in 0..MAX_ACTIONS {
            if let Some(before) = action.checked_sub(1) {
                tokio::time::sleep(self.look_again * 2_u32.pow(before.min(LONGEST_PAUSE))).await;
            }
            let look = self.look(stack, report).await?;
            if let Some(stack_id) = &look.stack_id {
                report.facts.stack_id = stack_id.as_str().into();
            }
            let status = look.seen.stack.as_ref().map_or("not there", StackStatus::as_str);
            let change_set = look.seen.change_set.as_ref();
            match next(&look.seen) {
                Next::Wait => {
                    let change_set = change_set.map_or("not there", |it| it.status.as_str());
                    report.detail = format!("cloudformation is at work: stack `{status}`, change set `{change_set}`");
                    return Ok(());
                }
                Next::DeleteStack => self.delete_stack(stack).await?,
                Next::CreateChangeSet(r#type) => self.create_change_set(stack, r#type, report).await?,
                Next::ExecuteChangeSet => {
                    if let Some(change_set) = change_set {
                        self.prove(stack, change_set).await?;
                        if !self.may_take_away(stack, change_set, look.is_new(), report).await? {
                            return Ok(());
                        }
                        self.execute_change_set(stack, change_set, report).await?;
                    }
                }
                Next::DiscardChangeSet => self.delete_change_set(stack).await?,
                Next::Unchanged => {
                    self.delete_change_set(stack).await?;
                    self.prove_nested(stack).await?;
                    self.protect(stack, look.is_protected).await?;
                    let detail = format!("the stack is as the template says already{}", self.unneeded(stack, report)?);
                    end(report, stack, ReportStatus::Unchanged, &detail);
                    return Ok(());
                }
                Next::Applied => {
                    note_execution(report, change_set);
                    self.prove_nested(stack).await?;
                    self.protect(stack, look.is_protected).await?;
                    end(
                        report,
                        stack,
                        ReportStatus::Applied,
                        &format!("the stack is `{status}` from the stored template{}", self.unneeded(stack, report)?),
                    );
                    return Ok(());
                }
                Next::Refused(mut reason) => {
                    if let Some(change_set) = change_set {
                        let found = self.operation_events(EventsOf::ChangeSet(&change_set.id)).await?;
                        let found = events::reasons(&found, "", Timestamp::UNIX_EPOCH);
                        report.facts.reasons = texts(&found).into();
                        reason = std::iter::once(reason).chain(texts(&found)).collect::<Vec<_>>().join("; ");
                    }
                    self.delete_change_set(stack).await?;
                    return Err(Stop::Failed(format!("cloudformation refuses the change set: {reason}")));
                }
                Next::RolledBack => {
                    let reasons = self.reasons(stack, report).await?;
                    return Err(Stop::Failed(format!("the stack is `{status}`: {reasons}")));
                }
                Next::NeedsPerson(advice) => {
                    let mut why = format!("the stack is `{status}` and needs a person: {advice}");
                    if look.seen.executed && look.seen.stack.is_some() {
                        why = format!("{why}; {}", self.reasons(stack, report).await?);
                    }
                    return Err(Stop::Failed(why));
                }
            }
        }
        "cloudformation is at work".clone_into(&mut report.detail);
        Ok(())
    }

    pub(crate) async fn look(&self, stack: &PlannedStack, report: &Report<StackFacts>) -> Result<Look, Stop> {
        let name = stack.stack_name.as_str();
        let stacks = self.cloudformation.describe_stacks().stack_name(name).send();
        let (stacks, change_set) = tokio::join!(stacks, self.change_set(stack));
        let described = match stacks {
            Ok(stacks) => match stacks.stacks.into_iter().flatten().next() {
                Some(stack) => Some(stack),
                None => return Err(untold("DescribeStacks", "a stack")),
            },
            Err(error) if Failure::of(&error) == Failure::Absent => None,
            Err(error) => return Err(Stop::of(CLOUDFORMATION, "DescribeStacks", &error)),
        };
        let change_set = change_set?;
        let is_protected = described.as_ref().is_some_and(|it| it.enable_termination_protection == Some(true));
        let outputs = described.iter().flat_map(aws_sdk_cloudformation::types::Stack::outputs);
        let exports = outputs.filter_map(|it| it.export_name().map(str::to_owned)).collect();
        let (status, stack_id) = described.map(|it| (it.stack_status, it.stack_id)).unzip();
        let executed = told(report, "executed", &report.facts.executed)?.is_some_and(|executed| *executed);
        Ok(Look {
            seen: Seen { stack: status.flatten(), change_set, executed },
            stack_id: stack_id.flatten(),
            is_protected,
            exports,
        })
    }

    /// Our change set of a stack; `None` where there is none.
    pub(crate) async fn change_set(&self, stack: &PlannedStack) -> Result<Option<ChangeSet>, Stop> {
        let ask = self.cloudformation.describe_change_set().stack_name(stack.stack_name.as_str());
        match ask.change_set_name(&self.change_set_name).send().await {
            Ok(it) => match (it.change_set_id, it.status, it.execution_status) {
                (Some(id), Some(status), Some(execution)) => {
                    Ok(Some(ChangeSet { id, status, execution, reason: it.status_reason.unwrap_or_default() }))
                }
                _ => Err(untold("DescribeChangeSet", "the change set's id and status")),
            },
            Err(error) if Failure::of(&error) == Failure::Absent => Ok(None),
            Err(error) => Err(Stop::of(CLOUDFORMATION, "DescribeChangeSet", &error)),
        }
    }

    /// Protects a stack that stands from being deleted, where it was synthesised so. It is never unprotected: a stage
    /// may be stricter than dev.
    async fn protect(&self, stack: &PlannedStack, is_protected: bool) -> Result<(), Stop> {
        if !stack.termination_protection || is_protected {
            return Ok(());
        }
        let name = stack.stack_name.as_str();
        let protect = self.cloudformation.update_termination_protection().stack_name(name);
        match protect.enable_termination_protection(true).send().await {
            Ok(_) => {
                self.log.info("stack protected from deletion", json!({"stack_name": name}));
                Ok(())
            }
            Err(error) => Err(refused("UpdateTerminationProtection", &error)),
        }
    }

    async fn delete_stack(&self, stack: &PlannedStack) -> Result<(), Stop> {
        let name = stack.stack_name.as_str();
        self.log.warn("deleting what a creation that failed earlier has left", json!({"stack_name": name}));
        let delete = self.cloudformation.delete_stack().stack_name(name);
        match delete.set_role_arn(self.stack_role_arn.map(str::to_owned)).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(refused("DeleteStack", &error)),
        }
    }

    /// Provides the code and makes the change set. It needs no client token: its name is one, since a second change set
    /// of the same name is refused.
    pub(crate) async fn create_change_set(
        &self,
        stack: &PlannedStack,
        r#type: ChangeSetType,
        report: &mut Report<StackFacts>,
    ) -> Result<(), Stop> {
        let document = self.provide(stack, report).await?;
        let name = stack.stack_name.as_str();
        let (body, url) = match document {
            Document::At(url) => (None, Some(url)),
            Document::Form(form) => (Some(form), None),
        };
        let parameters = stack
            .parameters
            .iter()
            .map(|(key, value)| Parameter::builder().parameter_key(key).parameter_value(value).build());
        let tags = stack.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
        let created = self
            .cloudformation
            .create_change_set()
            .stack_name(name)
            .change_set_name(&self.change_set_name)
            .change_set_type(r#type.clone())
            .description(format!("artefact-gatekeeper: {}", self.commit))
            .set_template_body(body)
            .set_template_url(url)
            .set_parameters(Some(parameters.collect()))
            // Without any, the tags that a stack has stay.
            .set_tags((!stack.tags.is_empty()).then(|| tags.collect()))
            // Else nothing tells what becomes of what nested stacks hold.
            .include_nested_stacks(true)
            // `CAPABILITY_AUTO_EXPAND` means nothing to change sets; the gate refuses macros.
            .capabilities(Capability::CapabilityIam)
            .capabilities(Capability::CapabilityNamedIam)
            .set_role_arn(self.stack_role_arn.map(str::to_owned))
            .send()
            .await;
        match created {
            Ok(_) => {
                let fields = json!({"stack_name": name, "change_set": self.change_set_name, "type": r#type.as_str(),
                    "key": stack.template.key, "version_id": stack.template.version_id, "sha256": stack.template.sha256,
                    "applied_sha256": stack.applied_sha256()});
                self.log.info("change set created", fields);
                Ok(())
            }
            // A run that was killed here has made it.
            Err(error) if code(&error) == Some("AlreadyExistsException") => Ok(()),
            Err(error) => Err(refused("CreateChangeSet", &error)),
        }
    }

    /// Reads the pinned template, and derives its form where the stage gets that.
    pub(crate) async fn applied(&self, stack: &PlannedStack) -> Result<Applied, Stop> {
        let stored = self.stored(&stack.template).await?;
        let Some(planned) = &stack.form else { return Ok(Applied { stored, form: None, nested: BTreeMap::new() }) };
        let mut nested = BTreeMap::new();
        for it in stack.assets.iter().filter(|it| it.kind == AssetKind::Template) {
            if let Entry::Vacant(free) = nested.entry(it.asset_key.clone()) {
                free.insert(self.stored(&it.file).await?);
            }
        }
        let key = &stack.template.key;
        let Forms { root, nested } = forms_of(planned, &stored, &nested, key)?;
        let form = String::from_utf8(root.bytes)
            .map_err(|_| Stop::Failed(format!("the portable form of `{key}` is not UTF-8")))?;
        Ok(Applied { stored, form: Some(form), nested })
    }

    /// Reads a pinned template.
    async fn stored(&self, pinned: &Pinned) -> Result<Vec<u8>, Stop> {
        let max_bytes = template::MAX_BYTES as u64;
        let body = self.artefacts.get(&pinned.key, Some(&pinned.version_id), max_bytes).await;
        let body = body.map_err(|error| Stop::Error(FunctionError::new("StorageFailed", chain(&error))))?;
        let (key, version) = (&pinned.key, &pinned.version_id);
        let body =
            body.ok_or_else(|| Stop::Failed(format!("version `{version}` of `{key}` is gone from the store")))?;
        if Sha256::of(&body.bytes) != pinned.sha256 {
            return Err(Stop::Failed(format!(
                "the stored bytes of version `{version}` of `{key}` are not the pinned ones"
            )));
        }
        Ok(body.bytes)
    }

    /// Makes the bundles lie where the template names them, and gives CloudFormation what it makes the change set of.
    async fn provide(&self, stack: &PlannedStack, report: &mut Report<StackFacts>) -> Result<Document, Stop> {
        let applied = self.applied(stack).await?;
        let key = &stack.template.key;
        let read = template::read(applied.bytes())
            .ok_or_else(|| Stop::Failed(format!("`{key}` is not a CloudFormation template")))?;
        let Applied { form, nested, .. } = applied;
        let address = S3Address { endpoint: self.s3_endpoint, region: &self.region };
        let stored = || Document::At(template_url(address, self.artefacts.bucket(), &stack.template));
        let fits = form.as_ref().is_none_or(|form| form.len() <= plan::MAX_TEMPLATE_BODY);
        let is_template =
            |file: &Pinned| stack.assets.iter().any(|it| it.kind == AssetKind::Template && it.file.key == file.key);
        let has_assets = match self.provides {
            Provides::All => {
                let wrong = self.wrong_images(stack, &read).await?;
                if !wrong.is_empty() {
                    return Err(Stop::Failed(format!("the stack was not changed: {}", wrong.join("; "))));
                }
                assets::has_assets(&read, stack)
            }
            Provides::Templates => stack.assets.iter().any(|it| it.kind == AssetKind::Template),
            Provides::Nothing => false,
        };
        if !has_assets && fits {
            return Ok(form.map_or_else(stored, Document::Form));
        }
        let account = assets::account_of(&self.sts).await?;
        let assets = assets::assets(&read, stack, self.functions, &account, &self.region).map_err(Stop::Failed)?;
        let copier =
            Copier { s3: self.s3.clone(), account: &account, artefact_bucket: self.artefacts.bucket(), log: self.log };
        let wanted = |it: &&assets::Asset<'_>| self.provides == Provides::All || is_template(it.bundle);
        let wanted: Vec<_> = assets.iter().filter(wanted).cloned().collect();
        let mut provided = copier.provide(&wanted).await?;
        let placed = assets::placed_forms(&read, stack, &nested, &account, &self.region).map_err(Stop::Failed)?;
        for it in &placed {
            provided.add(copier.create(&it.bucket, &it.key, &it.form.bytes, it.form.mapping.form_sha256).await?);
        }
        report.facts.code_copied = provided.copied.into();
        report.facts.code_already_there = provided.already_there.into();
        match form {
            None => Ok(stored()),
            Some(form) if fits => Ok(Document::Form(form)),
            Some(form) => {
                // As CDK does with a template that is too large for the call.
                let of_forms = placed.first().map(|it| it.bucket.as_str());
                let bucket = assets.first().map(|it| it.bucket.as_str()).or(of_forms).ok_or_else(|| {
                    Stop::Failed(format!(
                        "the form of `{key}` has {} bytes, a call takes {}, and it names no bucket of the stage",
                        form.len(),
                        plan::MAX_TEMPLATE_BODY
                    ))
                })?;
                let object = format!("{}.json", stack.applied_sha256());
                copier.create(bucket, &object, form.as_bytes(), stack.applied_sha256()).await?;
                Ok(Document::At(object_url(address, bucket, &object)))
            }
        }
    }

    /// What is wrong with the images of a stack in the stage's registry, each in words.
    pub(crate) async fn wrong_images(&self, stack: &PlannedStack, read: &Template) -> Result<Vec<String>, Stop> {
        if stack.images.is_empty() {
            return Ok(Vec::new());
        }
        let account = assets::account_of(&self.sts).await?;
        let values = assets::values(read, stack, &account, &self.region);
        images::wrong(&self.registry, stack, &values, &self.region).await
    }

    /// Proves that the change set holds the pinned template.
    pub(crate) async fn prove(&self, stack: &PlannedStack, change_set: &ChangeSet) -> Result<(), Stop> {
        let name = stack.stack_name.as_str();
        let template = self
            .cloudformation
            .get_template()
            .stack_name(name)
            .change_set_name(&change_set.id)
            .template_stage(TemplateStage::Original)
            .send()
            .await
            .map_err(|error| Stop::of(CLOUDFORMATION, "GetTemplate", &error))?;
        let template = template.template_body().ok_or_else(|| untold("GetTemplate", "a template"))?;
        let sha256 = Sha256::of(template.as_bytes());
        if sha256 != stack.applied_sha256() {
            self.delete_change_set(stack).await?;
            return Err(Stop::Failed(format!(
                "template bytes are not the pinned ones: the change set's SHA-256 is `{sha256}`, the plan's `{}`",
                stack.applied_sha256()
            )));
        }
        Ok(())
    }

    /// Ends the promotion of this stack before the change set takes away what holds data and nobody gave up. False
    /// where what it makes must be on record first: the way back takes that away.
    async fn may_take_away(
        &self,
        stack: &PlannedStack,
        change_set: &ChangeSet,
        is_new: bool,
        report: &mut Report<StackFacts>,
    ) -> Result<bool, Stop> {
        let changes = changes::read(&self.cloudformation, stack.stack_name.as_str(), &change_set.id).await?;
        let nothing = BTreeSet::new();
        let ours = self.made.get(stack.stack_name.as_str()).unwrap_or(&nothing);
        let judgement = replacement::judge(&stack.stack, &changes, self.accept_replacement, ours);
        if !judgement.refused.is_empty() {
            self.delete_change_set(stack).await?;
            let why: Vec<_> = judgement.refused.iter().map(|it| format!("{}: {}", it.code, it.message)).collect();
            report.facts.refused = judgement.refused.into();
            return Err(Stop::Failed(format!("the stack was not changed: {}", why.join("; "))));
        }
        for path in &judgement.accepted {
            let fields = json!({"stack_name": stack.stack_name, "resource": path.to_string()});
            self.log.warn("a resource that holds data is replaced or removed, as the request accepts", fields);
        }
        if !judgement.accepted.is_empty() {
            report.facts.accepted = judgement.accepted.into();
        }
        let made = replacement::made(&changes);
        let told = told(report, "made", &report.facts.made)?.unwrap_or(&nothing);
        if is_new || made == *told {
            return Ok(true);
        }
        report.facts.made = made.into();
        "the change set is about to be executed".clone_into(&mut report.detail);
        Ok(false)
    }

    /// What the request accepted of this stack and no change needed, in words.
    fn unneeded(&self, stack: &PlannedStack, report: &Report<StackFacts>) -> Result<String, Stop> {
        let needed = told(report, "accepted", &report.facts.accepted)?;
        let of_stack = self.accept_replacement.iter().filter(|path| path.stack() == Some(&stack.stack));
        let unneeded = of_stack.filter(|path| needed.is_none_or(|needed| !needed.contains(path)));
        let unneeded: Vec<_> = unneeded.map(|path| format!("`{path}`")).collect();
        if unneeded.is_empty() {
            return Ok(String::new());
        }
        let unneeded = unneeded.join(", ");
        self.log.warn("accepted and not needed", json!({"stack_name": stack.stack_name, "resources": unneeded}));
        Ok(format!("; `accept_replacement` names {unneeded}, which nothing replaced or removed"))
    }

    async fn execute_change_set(
        &self,
        stack: &PlannedStack,
        change_set: &ChangeSet,
        report: &mut Report<StackFacts>,
    ) -> Result<(), Stop> {
        let name = stack.stack_name.as_str();
        let executed = self
            .cloudformation
            .execute_change_set()
            .stack_name(name)
            .change_set_name(&change_set.id)
            .client_request_token(token(&change_set.id))
            .disable_rollback(false)
            .send()
            .await;
        match executed {
            Ok(_) => {
                note_execution(report, Some(change_set));
                self.log.info("change set executed", json!({"stack_name": name, "change_set": change_set.id}));
                Ok(())
            }
            // A run that was killed here has executed it, or something else has begun on the stack: look again.
            Err(error)
                if matches!(code(&error), Some("InvalidChangeSetStatus" | "TokenAlreadyExistsException"))
                    || Failure::of(&error) == Failure::Absent =>
            {
                Ok(())
            }
            Err(error) => Err(refused("ExecuteChangeSet", &error)),
        }
    }

    /// Proves that the nested stacks have the pinned templates, which CloudFormation fetched by their URLs.
    async fn prove_nested(&self, stack: &PlannedStack) -> Result<(), Stop> {
        let nested = stack.nested_templates();
        let ids = stack_functions::nested_ids(&self.cloudformation, &stack.stack_name, nested.keys().copied()).await;
        let ids = ids.map_err(|error| Stop::of(CLOUDFORMATION, "ListStackResources", &error))?;
        for (resource, planned) in nested {
            // Where a condition leaves a nested stack out, it has no template.
            let Some(id) = ids.get(resource) else { continue };
            let template = self.cloudformation.get_template().stack_name(id).template_stage(TemplateStage::Original);
            let template = template.send().await.map_err(|error| Stop::of(CLOUDFORMATION, "GetTemplate", &error))?;
            let template = template.template_body().ok_or_else(|| untold("GetTemplate", "a template"))?;
            let sha256 = Sha256::of(template.as_bytes());
            if sha256 != planned {
                return Err(Stop::Failed(format!(
                    "the nested stack `{resource}` has another template than the pinned one: its SHA-256 is `{sha256}`, \
                     the plan's `{planned}`"
                )));
            }
        }
        Ok(())
    }

    pub(crate) async fn delete_change_set(&self, stack: &PlannedStack) -> Result<(), Stop> {
        let name = stack.stack_name.as_str();
        let delete = self.cloudformation.delete_change_set().stack_name(name).change_set_name(&self.change_set_name);
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) if Failure::of(&error) == Failure::Absent => Ok(()),
            Err(error) => Err(refused("DeleteChangeSet", &error)),
        }
    }

    /// The failing resources' own reasons, for the record and in words.
    async fn reasons(&self, stack: &PlannedStack, report: &mut Report<StackFacts>) -> Result<String, Stop> {
        let change_set = told(report, "change_set", &report.facts.change_set)?;
        let token = token(change_set.map_or("", String::as_str));
        // CloudFormation's clock isn't ours.
        let since = report.started_at - Duration::from_secs(5);
        let mut events: Vec<Event> = Vec::new();
        let ask = self.cloudformation.describe_stack_events().stack_name(stack.stack_name.as_str());
        let (mut pages, mut read) = (ask.into_paginator().send(), 0);
        while read < MAX_EVENT_PAGES
            && events.last().is_none_or(|oldest| oldest.at >= since)
            && let Some(page) = pages.next().await
        {
            let page = page.map_err(|error| Stop::of(CLOUDFORMATION, "DescribeStackEvents", &error))?;
            events.extend(page.stack_events().iter().map(event));
            read += 1;
        }
        let mut reasons = events::reasons(&events, &token, since);
        if reasons.iter().all(|it| it.is_stack) {
            events.extend(self.operation_events(EventsOf::Stack(stack.stack_name.as_str())).await?);
            reasons = events::reasons(&events, &token, since);
        }
        let reasons = texts(&reasons);
        report.facts.reasons = reasons.clone().into();
        Ok(if reasons.is_empty() { "its events give no reason".to_owned() } else { reasons.join("; ") })
    }

    /// What CloudFormation found wrong before it touched any resource: its own validations and the account's hooks,
    /// which are no events of the stack (CloudFormation user guide, "Validate stack deployments"). They only explain
    /// a failure, so not being allowed to read them is none.
    pub(crate) async fn operation_events(&self, of: EventsOf<'_>) -> Result<Vec<Event>, Stop> {
        let ask = self.cloudformation.describe_events();
        let ask = match of {
            EventsOf::Stack(name) => ask.stack_name(name),
            EventsOf::ChangeSet(id) => ask.change_set_name(id),
        };
        match ask.filters(EventFilter::builder().failed_events(true).build()).send().await {
            Ok(answer) => Ok(answer.operation_events().iter().filter_map(operation_event).collect()),
            Err(error) => {
                let answered = error.as_service_error().is_some();
                match Stop::of(CLOUDFORMATION, "DescribeEvents", &error) {
                    Stop::Error(error) if answered => {
                        self.log.warn("no details of the failure", json!({"error": error.message}));
                        Ok(Vec::new())
                    }
                    stop => Err(stop),
                }
            }
        }
    }
}

/// The forms of a stored template and of those that are nested in it, which must be the attested ones.
fn forms_of(
    planned: &PlannedForm,
    template: &[u8],
    nested: &BTreeMap<AssetKey, Vec<u8>>,
    key: &str,
) -> Result<Forms, Stop> {
    let forms = forms::derive(template, nested, &planned.synthesised_for, key).map_err(|findings| {
        let why: Vec<_> = findings.iter().map(|it| it.message.as_str()).collect();
        Stop::Failed(format!("no portable form of `{key}` can be derived: {}", why.join("; ")))
    })?;
    let told = forms.told();
    if told == planned.told {
        return Ok(forms);
    }
    let is_another = |key: &&AssetKey| told.nested.get(key) != planned.told.nested.get(key);
    let another = told.nested.keys().chain(planned.told.nested.keys()).find(is_another);
    let of_nested = another.map(|key| format!(", nor that of its nested template `{key}`")).unwrap_or_default();
    Err(Stop::Failed(format!(
        "the portable form of `{key}` is not the attested one: its SHA-256 is `{}`, not `{}`{of_nested}",
        told.sha256, planned.told.sha256
    )))
}

/// What a refused call means: CloudFormation's own word on the request is final, unless something is at work on the
/// stack just now.
fn refused<E>(call: &'static str, error: &SdkError<E, aws_sdk_cloudformation::config::http::HttpResponse>) -> Stop
where
    E: aws_sdk_cloudformation::error::ProvideErrorMetadata + std::error::Error + 'static,
{
    match code(error) {
        Some("ValidationError" | "InvalidChangeSetStatus") if message(error).contains("_IN_PROGRESS") => {
            Stop::Later(format!("something else is at work on the stack: {}", message(error)))
        }
        Some(
            "ValidationError"
            | "InvalidChangeSetStatus"
            | "InsufficientCapabilitiesException"
            | "LimitExceededException",
        ) => Stop::Failed(format!("cloudformation refuses {call}: {}", message(error))),
        _ => Stop::of(CLOUDFORMATION, call, error),
    }
}

/// That CloudFormation's answer lacks what it always tells: nothing is concluded from that.
fn untold(call: &str, what: &str) -> Stop {
    Stop::Error(FunctionError::new(CLOUDFORMATION, format!("{call} answered without {what}")))
}

/// What an earlier run kept in the report; `None` where it kept nothing. What can't be read is no sign that nothing was
/// done.
fn told<'a, T>(report: &Report<StackFacts>, fact: &str, told: &'a Told<T>) -> Result<Option<&'a T>, Stop> {
    told.read().map_err(|why| {
        let message = format!("the report on `{}` tells a fact `{fact}` that can't be read: {why}", report.subject);
        Stop::Error(FunctionError::new("StepError", message))
    })
}

/// The token of a change set's execution: the same however often the same change set is executed, another one for
/// another change set. It also marks the events that the execution causes. At most 128 of `[a-zA-Z0-9-]`.
fn token(change_set_id: &str) -> String {
    let (_, name_and_uuid) = change_set_id.split_once('/').unwrap_or(("", change_set_id));
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    name_and_uuid.chars().take(128).map(plain).collect()
}

/// Keeps in the report that this promotion has executed its change set.
fn note_execution(report: &mut Report<StackFacts>, change_set: Option<&ChangeSet>) {
    report.facts.executed = true.into();
    if let Some(change_set) = change_set {
        report.facts.change_set = change_set.id.as_str().into();
    }
}

fn end(report: &mut Report<StackFacts>, stack: &PlannedStack, status: ReportStatus, detail: &str) {
    report.facts.template_sha256 = stack.applied_sha256().into();
    *report = report.clone().ended(status, detail, wall_clock());
}

fn texts(reasons: &[Reason]) -> Vec<String> {
    reasons.iter().map(Reason::to_string).collect()
}

fn at(at: Option<&aws_sdk_cloudformation::primitives::DateTime>) -> Timestamp {
    at.and_then(gatekeeper_aws::timestamp).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A validation or hook that failed; `None` where it is something else, or only warns.
fn operation_event(event: &OperationEvent) -> Option<Event> {
    let only_warns = |mode: Option<&HookFailureMode>| mode == Some(&HookFailureMode::Warn);
    let (status, name, reason) = match (event.validation_status_reason(), event.hook_status_reason()) {
        (Some(reason), _) if !only_warns(event.validation_failure_mode()) => {
            ("VALIDATION_FAILED", event.validation_name(), reason)
        }
        (None, Some(reason)) if !only_warns(event.hook_failure_mode()) => ("HOOK_FAILED", event.hook_type(), reason),
        _ => return None,
    };
    let place = event.validation_path().map(|path| format!(" (at {path})")).unwrap_or_default();
    Some(Event {
        logical_id: event.logical_resource_id().unwrap_or_default().to_owned(),
        r#type: event.resource_type().unwrap_or_default().to_owned(),
        is_stack: false,
        status: status.to_owned(),
        reason: format!("{}: {reason}{place}", name.unwrap_or_default()),
        token: event.client_request_token().map(str::to_owned),
        at: at(event.timestamp()),
    })
}

fn event(event: &StackEvent) -> Event {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Event {
        logical_id: text(event.logical_resource_id()),
        r#type: text(event.resource_type()),
        is_stack: event.physical_resource_id().is_some() && event.physical_resource_id() == event.stack_id(),
        status: text(event.resource_status().map(ResourceStatus::as_str)),
        reason: text(event.resource_status_reason()),
        token: event.client_request_token().map(str::to_owned),
        at: at(event.timestamp()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executions_token_is_its_change_sets_own() {
        let id = "arn:aws:cloudformation:ap-southeast-2:111122223333:changeSet/gatekeeper-01-forward/0f3c-4d";
        assert_eq!(token(id), "gatekeeper-01-forward-0f3c-4d");
        assert_eq!(token(""), "");
        assert_eq!(token(&"é/".repeat(300)).len(), 128);
    }
}
