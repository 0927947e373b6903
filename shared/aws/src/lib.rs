//! The shell: settings, clients and the few AWS calls that more than one function makes.

pub mod caller;
pub mod failure;
pub mod json_operation;
pub mod kms;
#[cfg(feature = "lambda")]
pub mod lambda;
#[cfg(feature = "live")]
pub mod layer;
#[cfg(feature = "live")]
pub mod live;
pub mod notify;
pub mod pacer;
#[cfg(feature = "promotion-step")]
pub mod promotion_step;
#[cfg(feature = "pulumi")]
pub mod pulumi;
#[cfg(any(feature = "live", feature = "promotion-step"))]
pub mod registry;
pub mod s3;
#[cfg(any(test, feature = "test-support"))]
pub mod scripted;
#[cfg(feature = "lambda")]
pub mod sdk_log;
#[cfg(feature = "stacks")]
pub mod stack_functions;
pub mod stage_account;
pub mod trust;
#[cfg(feature = "web")]
pub mod web;

use std::time::Duration;

use aws_config::{
    BehaviorVersion, ConfigLoader, Region, SdkConfig, environment::EnvironmentVariableCredentialsProvider,
    retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_s3::config::{
    RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_async::{rt::sleep::default_async_sleep, time::SystemTimeSource};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use jiff::Timestamp;

use crate::s3::S3Store;

/// Amazon Trust Services' five roots, under which every AWS endpoint lies
/// (<https://www.amazontrust.com/repository/>): reading the system's whole store costs a cold start 6 ms.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// How long a connection may take, as the SDK's own default is (aws-config, `default_provider::timeout_config`).
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

/// A time that AWS tells, to the last digit that it tells: what is cut off lies before what happened in the same second.
/// `None` where no calendar has it.
#[must_use]
pub fn timestamp(at: &aws_sdk_s3::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::from_nanosecond(at.as_nanos()).ok()
}

/// What the template tells a function by its environment.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The bucket that CI writes.
    pub artefact_bucket: String,
    /// The bucket that only the gatekeeper writes.
    pub records_bucket: String,
    /// The bucket of the witness outside, where there is one.
    pub witness_bucket: Option<String>,
    /// The timestamp authority that stamps the ledger's heads, where there is one.
    pub timestamp_url: Option<String>,
    /// The promotion state machine, for the functions that start or look at its executions.
    pub state_machine_arn: Option<String>,
    /// The function that looks at databases and migrates them, for the one that asks it to look.
    pub migrate_database_function: Option<String>,
    /// The function that verifies who built a commit, for the one that judges.
    pub verify_provenance_function: Option<String>,
    /// The function that reads what runners left.
    pub judge_run_function: Option<String>,
    /// The topic that tells people, for the function that watches.
    pub alarm_topic_arn: Option<String>,
    /// The bus that is told what has happened, by its ARN, where there is one.
    pub notification_bus: Option<String>,
    /// The role that CloudFormation takes for the stages' stacks.
    pub stack_role_arn: Option<String>,
    /// The ids of the gate's own roles, by which it tells its own tag writes in S3's events from a stranger's.
    pub gate_role_ids: Vec<String>,
    /// The queue that the gate's events come from.
    pub event_queue_url: Option<String>,
    /// The key that the gate signs with.
    pub signing_key_arn: Option<String>,
    /// The key that promotion signs with.
    pub promotion_signing_key_arn: Option<String>,
    /// The key that `approve` signs with.
    pub approval_signing_key_arn: Option<String>,
    /// The version of the trust root that is trusted, with its digest; none where the three keys above are all there is.
    pub trust_root: Option<String>,
    /// The account that this runs in, for the functions that ask who calls.
    pub account_id: Option<String>,
    /// The unique id of the role whose sessions are people: the promoter's for `promote`, the approver's for `approve`.
    pub person_role_id: Option<String>,
    /// The permissions boundary of the stages' roles and users in this account, for the function that verifies templates.
    pub stage_boundary_arn: Option<String>,
    /// Whether stages in this account need none.
    pub is_shared_account: bool,
    /// Where S3 answers when it isn't at its usual address.
    pub s3_endpoint: Option<String>,
}

/// A setting that the environment doesn't have.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable `{0}` is not set")]
pub struct MissingSetting(pub &'static str);

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Settings {
    /// Reads them from the environment, once, at start.
    ///
    /// # Errors
    /// [`MissingSetting`] where a bucket isn't named.
    pub fn from_env() -> Result<Self, MissingSetting> {
        let required = |name| setting(name).ok_or(MissingSetting(name));
        Ok(Self {
            artefact_bucket: required("ARTEFACT_BUCKET")?,
            records_bucket: required("RECORDS_BUCKET")?,
            witness_bucket: setting("WITNESS_BUCKET"),
            timestamp_url: setting("TIMESTAMP_URL"),
            state_machine_arn: setting("STATE_MACHINE_ARN"),
            migrate_database_function: setting("MIGRATE_DATABASE_FUNCTION"),
            verify_provenance_function: setting("VERIFY_PROVENANCE_FUNCTION"),
            judge_run_function: setting("JUDGE_RUN_FUNCTION"),
            alarm_topic_arn: setting("ALARM_TOPIC_ARN"),
            notification_bus: setting("NOTIFICATION_BUS"),
            stack_role_arn: setting("STACK_ROLE_ARN"),
            gate_role_ids: setting("GATE_ROLE_IDS").iter().flat_map(|ids| ids.split(',').map(str::to_owned)).collect(),
            event_queue_url: setting("EVENT_QUEUE_URL"),
            signing_key_arn: setting("SIGNING_KEY_ARN"),
            promotion_signing_key_arn: setting("PROMOTION_SIGNING_KEY_ARN"),
            approval_signing_key_arn: setting("APPROVAL_SIGNING_KEY_ARN"),
            trust_root: setting("TRUST_ROOT"),
            account_id: setting("ACCOUNT_ID"),
            person_role_id: setting("PERSON_ROLE_ID"),
            stage_boundary_arn: setting("STAGE_BOUNDARY_ARN"),
            is_shared_account: setting("SHARED_ACCOUNT").as_deref() == Some("accepted"),
            s3_endpoint: setting("AWS_ENDPOINT_URL_S3").or_else(|| setting("AWS_ENDPOINT_URL")),
        })
    }

    /// The queue that the gate's events come from, for a function that needs it.
    ///
    /// # Errors
    /// [`MissingSetting`] where it isn't named.
    pub fn event_queue_url(&self) -> Result<&str, MissingSetting> {
        self.event_queue_url.as_deref().ok_or(MissingSetting("EVENT_QUEUE_URL"))
    }

    /// The key that the gate signs with, for a function that needs it.
    ///
    /// # Errors
    /// [`MissingSetting`] where it isn't named.
    pub fn signing_key_arn(&self) -> Result<&str, MissingSetting> {
        self.signing_key_arn.as_deref().ok_or(MissingSetting("SIGNING_KEY_ARN"))
    }

    /// The account that this runs in, for a function that needs it.
    ///
    /// # Errors
    /// [`MissingSetting`] where it isn't named.
    pub fn account_id(&self) -> Result<&str, MissingSetting> {
        self.account_id.as_deref().ok_or(MissingSetting("ACCOUNT_ID"))
    }

    /// The stage boundary, for a function that needs it.
    ///
    /// # Errors
    /// [`MissingSetting`] where it isn't named.
    pub fn stage_boundary_arn(&self) -> Result<&str, MissingSetting> {
        self.stage_boundary_arn.as_deref().ok_or(MissingSetting("STAGE_BOUNDARY_ARN"))
    }

    /// The key that promotion signs with, for a function that needs it.
    ///
    /// # Errors
    /// [`MissingSetting`] where it isn't named.
    pub fn promotion_signing_key_arn(&self) -> Result<&str, MissingSetting> {
        self.promotion_signing_key_arn.as_deref().ok_or(MissingSetting("PROMOTION_SIGNING_KEY_ARN"))
    }

    /// The key that `approve` signs with, for a function that needs it.
    ///
    /// # Errors
    /// [`MissingSetting`] where it isn't named.
    pub fn approval_signing_key_arn(&self) -> Result<&str, MissingSetting> {
        self.approval_signing_key_arn.as_deref().ok_or(MissingSetting("APPROVAL_SIGNING_KEY_ARN"))
    }
}

/// Which certificate authorities AWS's endpoints are trusted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsRoots {
    /// Amazon's five only, which a cold start need not look for.
    Amazon,
    /// The system's, for a proxy that has its own.
    Native,
}

/// The configuration of a function, from its environment alone: Lambda puts region and credentials there, and
/// `AWS_ENDPOINT_URL` names another AWS, and `AWS_ENDPOINT_URL_SQS` another SQS. `TLS_ROOTS=native` takes the system's roots.
///
/// The SDK's chain of providers is left out on purpose: a function has no profile, no container and no instance whose
/// credentials it could use, and what looks for them is half a megabyte and half a millisecond of each start.
#[must_use]
pub fn config() -> SdkConfig {
    let roots = match setting("TLS_ROOTS").as_deref() {
        Some("native") => TlsRoots::Native,
        _ => TlsRoots::Amazon,
    };
    let mut config = SdkConfig::builder()
        .time_source(SystemTimeSource::new())
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client(roots))
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .retry_config(RetryConfig::standard())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().build());
    config.set_region(setting("AWS_REGION").map(Region::new));
    config.set_endpoint_url(setting("AWS_ENDPOINT_URL"));
    config.set_service_config(Some(ServiceSettings));
    config.set_sleep_impl(default_async_sleep());
    config.build()
}

/// A service's own settings, such as `AWS_ENDPOINT_URL_SECRETS_MANAGER` (SDK reference guide, "Service-specific endpoints").
#[derive(Debug)]
struct ServiceSettings;

impl LoadServiceConfig for ServiceSettings {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        setting(&format!("{}_{}", key.env(), key.service_id().to_uppercase().replace(' ', "_")))
    }
}

/// The configuration of a program at a person's or a pipeline's hands, with the SDK's whole chain of providers.
#[must_use]
pub fn config_loader(roots: TlsRoots) -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest()).http_client(http_client(roots))
}

/// The configuration of a client that asks once only and waits for the answer for as long as `answer_within`: a look at a
/// database that is asked for twice is two looks.
#[must_use]
pub fn asking_once(config: &SdkConfig, answer_within: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().read_timeout(answer_within).build();
    config.to_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts).build()
}

/// The one HTTP client that all clients share, with ring, whose first handshake is 50 ms of CPU cheaper than the
/// default's.
fn http_client(roots: TlsRoots) -> SharedHttpClient {
    let roots = match roots {
        TlsRoots::Native => TrustStore::default(),
        TlsRoots::Amazon => TrustStore::empty().with_pem_certificate(AMAZON_ROOTS),
    };
    let mut http =
        Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).pool_idle_timeout(Duration::from_secs(20));
    if let Ok(context) = TlsContext::builder().with_trust_store(roots).build() {
        http = http.tls_context(context);
    }
    http.build_https()
}

/// An S3 client that neither computes nor checks checksums by itself: the gatekeeper does, where it matters.
#[must_use]
pub fn s3_client(config: &SdkConfig) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(config)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// The buckets.
#[derive(Debug, Clone)]
pub struct Buckets {
    /// What CI writes.
    pub artefacts: S3Store,
    /// What only the gatekeeper writes.
    pub records: S3Store,
    /// What another account keeps of the ledger's heads, where there is such a witness.
    pub witness: Option<S3Store>,
}

impl Buckets {
    /// The buckets of `settings`, over one client.
    #[must_use]
    pub fn new(config: &SdkConfig, settings: &Settings) -> Self {
        let client = s3_client(config);
        Self {
            artefacts: S3Store::new(client.clone(), &settings.artefact_bucket),
            records: S3Store::new(client.clone(), &settings.records_bucket),
            witness: settings.witness_bucket.as_ref().map(|bucket| S3Store::new(client, bucket)),
        }
    }
}
