//! A profile of the AWS CLI's files: which one counts, and whether this command can use it.
//!
//! As in the AWS CLI `--profile` wins over keys in the environment, these win over `AWS_PROFILE`, and a profile that there
//! is none of is an error (AWS CLI user guide, "Configuration settings and precedence"; botocore's `ProfileNotFound`).

use std::{collections::BTreeSet, env, ffi::OsStr, path::PathBuf};

use aws_config::{
    SdkConfig,
    ecs::EcsCredentialsProvider,
    imds::credentials::ImdsCredentialsProvider,
    meta::credentials::CredentialsProviderChain,
    profile::{ProfileFileCredentialsProvider, ProfileSet},
    provider_config::ProviderConfig,
};
use aws_sdk_s3::config::SharedCredentialsProvider;
use aws_types::os_shim_internal::{Env, Fs};

use crate::exit::Misuse;

/// A profile that somebody chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Its name.
    pub(crate) name: String,
    /// What named it.
    by: &'static str,
}

impl Chosen {
    /// `--profile`, else the environment's; `None` where nobody chose one.
    pub(crate) fn of(flag: Option<&String>) -> Option<Self> {
        if let Some(name) = flag {
            return Some(Self { name: name.clone(), by: "--profile" });
        }
        let named = |by: &'static str| Some(Self { name: variable(by)?.to_str()?.to_owned(), by });
        named("AWS_PROFILE").or_else(|| named("AWS_DEFAULT_PROFILE"))
    }

    /// Whether it wins over keys in the environment.
    pub(crate) fn is_explicit(&self) -> bool {
        self.by == "--profile"
    }

    /// Whether there is such a profile and, where its credentials are `needed`, whether they can be had.
    ///
    /// # Errors
    /// What is missing, with the files that were read, or what of it only the AWS CLI can do.
    pub(crate) async fn check(&self, needed: bool) -> Result<(), Misuse> {
        let Self { name, by } = self;
        let read =
            aws_config::profile::load(&Fs::real(), &Env::real(), &<_>::default(), Some(name.clone().into())).await;
        let profiles = read.map_err(|error| {
            let why = gatekeeper_model::telemetry::chain(&error);
            Misuse(format!("the AWS profile `{name}` can't be read from {}: {why}", files()))
        })?;
        if profiles.get_profile(name).is_none() {
            let known: BTreeSet<_> = profiles.profiles().collect();
            let known = known.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "there is none".to_owned() } else { format!("there are {known}") };
            return Err(Misuse(format!(
                "there is no AWS profile `{name}`, which `{by}` names, in {}: {known}",
                files()
            )));
        }
        match unsupported(&profiles, name).filter(|_| needed) {
            None => Ok(()),
            Some(what) => Err(Misuse(format!(
                "the AWS profile `{name}` {what}, which the AWS CLI can do and this command can't: run `eval \"$(aws \
                 configure export-credentials --profile {name} --format env)\"` and leave `{by}` out"
            ))),
        }
    }

    /// `config` with this profile's credentials, whatever keys are in the environment.
    pub(crate) fn credentials(&self, config: SdkConfig) -> SdkConfig {
        let mut provider = ProviderConfig::without_region().with_region(config.region().cloned());
        if let Some(http) = config.http_client() {
            provider = provider.with_http_client(http);
        }
        let profile = ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(&self.name).build();
        // A profile may hold settings only: then it is the machine's own role, as in the AWS CLI.
        let chain = CredentialsProviderChain::first_try("Profile", profile)
            .or_else("EcsContainer", EcsCredentialsProvider::builder().configure(&provider).build())
            .or_else("Ec2InstanceMetadata", ImdsCredentialsProvider::builder().configure(&provider).build());
        config.into_builder().credentials_provider(SharedCredentialsProvider::new(chain)).build()
    }
}

/// A variable of the environment that isn't empty.
pub(crate) fn variable(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Whether keys in the environment say who calls.
///
/// # Errors
/// Where half of them is there.
pub(crate) fn keys_in_environment() -> Result<bool, Misuse> {
    match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        (Some(_), None) => {
            Err(Misuse("`AWS_ACCESS_KEY_ID` is set and `AWS_SECRET_ACCESS_KEY` is not: set both or neither".to_owned()))
        }
        (id, _) => Ok(id.is_some()),
    }
}

/// What a profile, or one that its role is assumed from, needs and we haven't; `None` where we have all of it.
fn unsupported(profiles: &ProfileSet, name: &str) -> Option<&'static str> {
    let (mut seen, mut next) = (BTreeSet::new(), Some(name));
    while let Some(profile) = next.filter(|name| seen.insert(*name)).and_then(|name| profiles.get_profile(name)) {
        if profile.get("role_arn").is_some() && profile.get("mfa_serial").is_some() {
            return Some("asks for an MFA code (`mfa_serial`)");
        }
        if profile.get("login_session").is_some() {
            return Some("is one of `aws login` (`login_session`)");
        }
        next = profile.get("source_profile");
    }
    None
}

/// The files that are read, as people look for them.
fn files() -> String {
    let file = |name: &str, usual: &str| {
        let home = || variable("HOME").map_or_else(|| PathBuf::from("~"), PathBuf::from);
        let path = variable(name).map_or_else(|| home().join(".aws").join(usual), PathBuf::from);
        let missing = if path.starts_with(OsStr::new("~")) || path.is_file() { "" } else { " (not there)" };
        format!("`{}`{missing}", path.display())
    };
    format!("{} and {}", file("AWS_CONFIG_FILE", "config"), file("AWS_SHARED_CREDENTIALS_FILE", "credentials"))
}
