//! Who calls, and where the gatekeeper is installed: credentials, region and endpoint as the AWS CLI takes them.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use aws_config::{Region, SdkConfig, retry::RetryConfig};
use aws_sdk_s3::{
    config::Credentials,
    error::{ProvideErrorMetadata, SdkError},
};
use gatekeeper_aws::{
    TlsRoots, caller, config_loader,
    failure::said,
    kms::{KeyArns, KmsKeys, KmsSigner},
    s3::S3Store,
    s3_client, trust,
};
use gatekeeper_model::{
    identity::{BoundRequest, IdentityProof},
    telemetry,
};
use gatekeeper_proof::{KeyHolder as _, PublicKeys, TrustedKeys, trust::Pin};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{
    exit::Misuse,
    profile::{self, Chosen},
};

/// How AWS is reached.
#[derive(Debug, clap::Args)]
pub(crate) struct CallerArgs {
    /// The AWS profile; it wins over keys in the environment
    #[arg(long, value_name = "NAME", help_heading = "AWS")]
    profile: Option<String>,
    /// The AWS region
    #[arg(long, value_name = "REGION", help_heading = "AWS")]
    region: Option<String>,
    /// Another endpoint than AWS's own
    #[arg(long, value_name = "URL", help_heading = "AWS")]
    endpoint_url: Option<String>,
}

/// How AWS is reached, and where the gatekeeper is.
#[derive(Debug, clap::Args)]
pub(crate) struct AwsArgs {
    #[command(flatten)]
    place: PlaceArgs,

    /// The promote function's name or ARN
    #[arg(
        long = "function",
        value_name = "NAME",
        env = "GATEKEEPER_PROMOTE_FUNCTION",
        hide_env_values = true,
        help_heading = "Gatekeeper"
    )]
    promote_function: Option<String>,
}

/// The same for who asks no function of the gatekeeper's for anything.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceArgs {
    #[command(flatten)]
    caller: CallerArgs,

    /// The gatekeeper's CloudFormation stack, whose outputs name its buckets and functions
    #[arg(
        long,
        value_name = "NAME",
        env = "GATEKEEPER_STACK",
        hide_env_values = true,
        default_value = "gatekeeper",
        help_heading = "Gatekeeper"
    )]
    gatekeeper_stack: String,
    /// A JSON file with those outputs, taken instead of asking CloudFormation; where it holds `Endpoint`, `Region`,
    /// `AccessKeyId` and `SecretAccessKey`, these are used too
    #[arg(long, value_name = "FILE", env = "GATEKEEPER_OUTPUTS", hide_env_values = true, help_heading = "Gatekeeper")]
    outputs: Option<PathBuf>,
    /// The artefact bucket
    #[arg(
        long,
        value_name = "BUCKET",
        env = "GATEKEEPER_ARTEFACT_BUCKET",
        hide_env_values = true,
        help_heading = "Gatekeeper"
    )]
    artefact_bucket: Option<String>,
    /// The records bucket
    #[arg(
        long,
        value_name = "BUCKET",
        env = "GATEKEEPER_RECORDS_BUCKET",
        hide_env_values = true,
        help_heading = "Gatekeeper"
    )]
    records_bucket: Option<String>,
}

/// A part of the installation, called as the stack's output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    PromoteFunction,
    ApproveFunction,
    JudgeRunFunction,
    ArtefactBucket,
    RecordsBucket,
    PortalUrl,
    SigningKey,
    PromotionSigningKey,
    ApprovalSigningKey,
}

impl Part {
    fn output(self) -> &'static str {
        match self {
            Self::PromoteFunction => "PromoteFunction",
            Self::ApproveFunction => "ApproveFunction",
            Self::JudgeRunFunction => "JudgeRunFunction",
            Self::ArtefactBucket => "ArtefactBucket",
            Self::RecordsBucket => "RecordsBucket",
            Self::PortalUrl => "PortalUrl",
            Self::SigningKey => "SigningKeyArn",
            Self::PromotionSigningKey => "PromotionSigningKeyArn",
            Self::ApprovalSigningKey => "ApprovalSigningKeyArn",
        }
    }

    fn flag(self) -> &'static str {
        match self {
            Self::PromoteFunction | Self::ApproveFunction => "--function",
            Self::ArtefactBucket => "--artefact-bucket",
            Self::RecordsBucket => "--records-bucket",
            Self::PortalUrl => "--url",
            // They have no flag: an outputs file, or another stack, names them.
            Self::JudgeRunFunction | Self::SigningKey | Self::PromotionSigningKey | Self::ApprovalSigningKey => {
                "--gatekeeper-stack"
            }
        }
    }
}

impl CallerArgs {
    /// Reads the configuration. Flags win over an outputs file, the file over the environment; keys in the environment
    /// win over the file's, because they say who calls, and `--profile` over both.
    ///
    /// # Errors
    /// Where there is no such profile, or it can't be used.
    pub(crate) async fn config(&self, file: Option<&Outputs>) -> Result<SdkConfig, Misuse> {
        let config = self.loaded(file).await?;
        // Of several configurations the first is the caller's own.
        let _ = ASKED_BY.set((config.clone(), Chosen::of(self.profile.as_ref()).map(|it| it.name)));
        Ok(config)
    }

    async fn loaded(&self, file: Option<&Outputs>) -> Result<SdkConfig, Misuse> {
        let in_file = |name: &str| file.and_then(|outputs| outputs.get(name)?.as_str().map(str::to_owned));
        let mut loader = config_loader(TlsRoots::Native);
        if let Some(region) = self.region.clone().or_else(|| in_file("Region")) {
            loader = loader.region(Region::new(region));
        }
        if let Some(endpoint) = self.endpoint_url.clone().or_else(|| in_file("Endpoint")) {
            loader = loader.endpoint_url(endpoint);
        }
        let chosen = Chosen::of(self.profile.as_ref());
        if let Some(chosen) = &chosen {
            loader = loader.profile_name(&chosen.name);
        }
        if let Some(chosen) = chosen.as_ref().filter(|chosen| chosen.is_explicit()) {
            chosen.check(true).await?;
            return Ok(chosen.credentials(loader.load().await));
        }
        let in_environment = profile::keys_in_environment()?;
        let keys = in_file("AccessKeyId").zip(in_file("SecretAccessKey")).filter(|_| !in_environment);
        if let Some(chosen) = &chosen {
            chosen.check(!in_environment && keys.is_none()).await?;
        }
        if let Some((id, secret)) = keys {
            loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "outputs file"));
        }
        Ok(loader.load().await)
    }
}

impl AwsArgs {
    /// Whether a part is named by its own flag or variable.
    pub(crate) fn names(&self, part: Part) -> bool {
        self.place.given(part).or(self.promote_function.as_ref().filter(|_| part == Part::PromoteFunction)).is_some()
    }
}

impl PlaceArgs {
    /// A part that is named by its own flag or variable.
    fn given(&self, part: Part) -> Option<&String> {
        match part {
            Part::ArtefactBucket => self.artefact_bucket.as_ref(),
            Part::RecordsBucket => self.records_bucket.as_ref(),
            // The promote function's flag is of those who ask it, the others' of the one command that needs them.
            Part::PromoteFunction
            | Part::ApproveFunction
            | Part::JudgeRunFunction
            | Part::PortalUrl
            | Part::SigningKey
            | Part::PromotionSigningKey
            | Part::ApprovalSigningKey => None,
        }
    }
}

/// The version of the trust root that the installation trusts, where there is one.
pub(crate) async fn pinned_root(aws: &Aws<'_>) -> anyhow::Result<Option<Pin>> {
    let pin = aws.output("TrustRoot").await.filter(|it| !it.is_empty());
    Ok(pin
        .map(|pin| pin.parse())
        .transpose()
        .map_err(|error: gatekeeper_proof::trust::InvalidPin| Misuse(error.to_string()))?)
}

/// The gatekeeper's public keys, as the trust root names them that the stack pins, or as the stack does.
pub(crate) async fn public_keys(aws: &Aws<'_>) -> anyhow::Result<PublicKeys> {
    if let Some(pin) = pinned_root(aws).await? {
        let walked = trust::read(&aws.records().await?, &pin).await.context("the trust root could not be read")?;
        return Ok(PublicKeys::named_by(walked)?);
    }
    let (gate, promotion) = (aws.part(Part::SigningKey).await?, aws.part(Part::PromotionSigningKey).await?);
    let approval = aws.part(Part::ApprovalSigningKey).await?;
    let keys = KmsKeys::new(&aws.config, KeyArns { gate: &gate, promotion: &promotion, approval: &approval });
    keys.public_keys().await.context("the public keys could not be read")
}

/// The public keys that approvals are verified by.
pub(crate) async fn approval_key(aws: &Aws<'_>) -> anyhow::Result<TrustedKeys> {
    if pinned_root(aws).await?.is_some() {
        return public_keys(aws).await?.approval.context("the trust root names no key of approvals");
    }
    let key = KmsSigner::new(&aws.config, aws.part(Part::ApprovalSigningKey).await?);
    key.trusted().await.context("the public key of approvals could not be read")
}

/// An outputs file: only texts matter, whatever else it holds.
pub(crate) type Outputs = BTreeMap<String, serde_json::Value>;

/// AWS, as the caller reaches it.
pub(crate) struct Aws<'a> {
    args: &'a PlaceArgs,
    promote_function: Option<&'a String>,
    /// What every client is made from.
    pub(crate) config: SdkConfig,
    file: Option<Outputs>,
    stack: OnceCell<BTreeMap<String, String>>,
}

impl<'a> Aws<'a> {
    /// Reads the configuration.
    pub(crate) async fn connect(args: &'a AwsArgs) -> anyhow::Result<Self> {
        Ok(Self { promote_function: args.promote_function.as_ref(), ..Self::at(&args.place).await? })
    }

    /// The same for who asks no function.
    pub(crate) async fn at(args: &'a PlaceArgs) -> anyhow::Result<Self> {
        let file = args.outputs.as_deref().map(read_outputs).transpose()?;
        let config = args.caller.config(file.as_ref()).await?;
        Ok(Self { args, promote_function: None, config, file, stack: OnceCell::new() })
    }

    /// The name of a part of the installation: from its flag, the outputs file or the stack's outputs.
    pub(crate) async fn part(&self, part: Part) -> anyhow::Result<String> {
        let function = self.promote_function.filter(|_| part == Part::PromoteFunction);
        if let Some(given) = self.args.given(part).or(function) {
            return Ok(given.clone());
        }
        let (name, flag) = (part.output(), part.flag());
        if let (Some(outputs), Some(path)) = (&self.file, &self.args.outputs) {
            let value = outputs.get(name).and_then(serde_json::Value::as_str);
            let missing = || Misuse(format!("`{}` does not name `{name}`; add it, or pass `{flag}`", path.display()));
            return Ok(value.ok_or_else(missing)?.to_owned());
        }
        let stack = &self.args.gatekeeper_stack;
        let outputs = self.stack.get_or_try_init(|| self.stack_outputs()).await.with_context(|| {
            format!(
                "the outputs of stack `{stack}` could not be read; pass `--outputs`, `{flag}` or `--gatekeeper-stack`"
            )
        })?;
        let value = outputs.get(name).cloned();
        value.ok_or_else(|| {
            anyhow!(
                "the stack `{stack}` has no output `{name}`: \
                 name the gatekeeper's stack by `--gatekeeper-stack`, or pass `{flag}`"
            )
        })
    }

    /// An output that says something of the installation rather than where a part of it is; `None` where the stack has no
    /// such output, or where the outputs can't be read because flags name all parts.
    pub(crate) async fn output(&self, name: &str) -> Option<String> {
        if let Some(outputs) = &self.file {
            return outputs.get(name)?.as_str().map(str::to_owned);
        }
        self.stack.get_or_try_init(|| self.stack_outputs()).await.ok()?.get(name).cloned()
    }

    async fn stack_outputs(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let client = aws_sdk_cloudformation::Client::new(&self.config);
        let answer = client.describe_stacks().stack_name(&self.args.gatekeeper_stack).send().await;
        let answer = called("DescribeStacks", answer)?;
        let outputs = answer.stacks().iter().flat_map(aws_sdk_cloudformation::types::Stack::outputs);
        Ok(outputs.filter_map(|it| Some((it.output_key()?.to_owned(), it.output_value()?.to_owned()))).collect())
    }

    /// The records bucket.
    pub(crate) async fn records(&self) -> anyhow::Result<S3Store> {
        Ok(self.bucket(&self.part(Part::RecordsBucket).await?))
    }

    /// The artefact bucket.
    pub(crate) async fn artefacts(&self) -> anyhow::Result<S3Store> {
        Ok(self.bucket(&self.part(Part::ArtefactBucket).await?))
    }

    /// A bucket by its name.
    pub(crate) fn bucket(&self, name: &str) -> S3Store {
        S3Store::new(s3_client(&self.config), name)
    }

    /// The proof that this caller makes a request.
    pub(crate) async fn prove(&self, request: &BoundRequest<'_>) -> anyhow::Result<IdentityProof> {
        Ok(caller::prove(&self.config, request, telemetry::wall_clock()).await?)
    }

    /// What a function of the gatekeeper answers; an event that it calls malformed, by that error's type, is misuse.
    pub(crate) async fn invoke(
        &self,
        function: &str,
        event: &impl serde::Serialize,
        malformed: &str,
    ) -> anyhow::Result<Value> {
        let payload = aws_sdk_lambda::primitives::Blob::new(serde_json::to_vec(event)?);
        // Asked twice because an answer was lost, a promotion would be refused because of itself.
        let config = aws_sdk_lambda::config::Builder::from(&self.config).retry_config(RetryConfig::disabled());
        let client = aws_sdk_lambda::Client::from_conf(config.build());
        let answer = client.invoke().function_name(function).payload(payload).send().await;
        let answer = called("Invoke", answer).with_context(|| {
            format!(
                "`{function}` could not be invoked; where no answer came it may have been served all the same: look at \
                 `gatekeeper status` before you ask again"
            )
        })?;
        let bytes = answer.payload().map(|payload| payload.as_ref().to_vec()).unwrap_or_default();
        let document: Value = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "the function `{function}` did not answer with JSON: see that it is one of the gatekeeper's functions"
            )
        })?;
        if answer.function_error().is_none() {
            return Ok(document);
        }
        let field = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or("no message").to_owned();
        match field("errorType") {
            kind if kind == malformed => Err(Misuse(field("errorMessage")).into()),
            kind => Err(anyhow!("`{function}` failed: {kind}: {}", field("errorMessage"))),
        }
    }

    /// Who calls, as AWS knows them.
    pub(crate) async fn caller(&self) -> anyhow::Result<String> {
        let answer = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send().await;
        let answer = called("GetCallerIdentity", answer)?;
        answer
            .arn()
            .map(str::to_owned)
            .context("AWS STS did not say who calls: see what `aws sts get-caller-identity` says")
    }
}

fn read_outputs(path: &Path) -> anyhow::Result<Outputs> {
    let misuse =
        |error: &dyn fmt::Display| Misuse(format!("the outputs file `{}` is not usable: {error}", path.display()));
    let text = std::fs::read(path).map_err(|error| misuse(&error))?;
    Ok(serde_json::from_slice(&text).map_err(|error| misuse(&error))?)
}

/// What AWS was asked with, and the profile that it came from, for the one who tells of an error.
static ASKED_BY: OnceLock<(SdkConfig, Option<String>)> = OnceLock::new();

/// How long an error waits for the word who asked.
const MAX_WAIT_FOR_CALLER: Duration = Duration::from_secs(3);

/// Who asked AWS, in which account and region, for whoever reads an error; `None` where AWS was not asked.
pub(crate) async fn asked_as() -> Option<String> {
    let (config, profile) = ASKED_BY.get()?;
    let region = config.region().map_or("no region".to_owned(), |region| format!("region `{region}`"));
    let profile = profile.as_ref().map(|name| format!(", profile `{name}`")).unwrap_or_default();
    let once = aws_sdk_sts::config::Builder::from(config).retry_config(RetryConfig::disabled()).build();
    let client = aws_sdk_sts::Client::from_conf(once);
    let caller = tokio::time::timeout(MAX_WAIT_FOR_CALLER, client.get_caller_identity().send()).await;
    let caller = caller.ok().and_then(Result::ok);
    let caller = caller.as_ref().and_then(|it| it.arn().zip(it.account()));
    Some(match caller {
        Some((arn, account)) => format!("asked as `{arn}` of account `{account}` in {region}{profile}"),
        None => format!("asked in {region}{profile}; who asked could not be told"),
    })
}

/// Every key below a prefix; it needs no right to see versions.
pub(crate) async fn keys(store: &S3Store, prefix: &str) -> anyhow::Result<Vec<String>> {
    let mut keys = Vec::new();
    let request = store.client().list_objects_v2().bucket(store.bucket()).prefix(prefix);
    let mut pages = request.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = called("ListObjectsV2", page)?;
        keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
    }
    Ok(keys)
}

/// What a call answered; an error in the words of the service, where it has any.
pub(crate) fn called<T, E>(operation: &str, answer: Result<T, SdkError<E>>) -> anyhow::Result<T>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    answer.map_err(|error| anyhow!("{operation} failed: {}", said(&error)))
}
