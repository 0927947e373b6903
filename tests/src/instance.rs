//! The instance, and who one can be in it.

use std::process::{Command, Stdio};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, ProvideCredentials as _};
use gatekeeper_aws::{TlsRoots, config_loader, s3_client};
use serde::Deserialize;

/// What `outputs.json` says (CONTRACT §1), as far as tests need it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the names are those of the contract")]
pub struct Outputs {
    pub endpoint: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    pub artefact_bucket: String,
    pub records_bucket: String,
    pub promote_function: String,
    pub approve_function: String,
    pub judge_run_function: String,
    pub intake_function: String,
    pub event_queue_url: String,
    pub promotion_state_machine: String,
    pub ci_role_arn: String,
    pub promoter_role_arn: String,
    pub approver_role_arn: String,
    pub auditor_role_arn: String,
    pub stage_role_arn: String,
    pub signing_key_arn: String,
    pub promotion_signing_key_arn: String,
    pub approval_signing_key_arn: String,
    pub portal_url: String,
    pub dead_letter_queue_url: String,
    pub watch_drift_function: String,
    pub alarm_topic_arn: String,
    pub witness_bucket: String,
    pub witness_account_id: String,
    pub witness_function: String,
    pub postgres_host: String,
    pub postgres_port: String,
    pub postgres_user: String,
    pub postgres_password: String,
}

/// The instance as its administrator sees it.
///
/// The local AWS spares an administrator every policy, so whatever a policy should forbid is tried as somebody else.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Where everything is.
    pub outputs: Outputs,
    /// The administrator.
    pub root: Caller,
}

/// Somebody with credentials.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name of the session, which AWS puts into events and logs.
    pub session: String,
    /// For clients of other services.
    pub config: SdkConfig,
    /// S3.
    pub s3: aws_sdk_s3::Client,
}

impl Caller {
    async fn new(outputs: &Outputs, session: &str, credentials: Credentials) -> Self {
        let config = config_loader(TlsRoots::Native)
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&outputs.endpoint)
            .region(Region::new(outputs.region.clone()))
            .credentials_provider(credentials)
            .load()
            .await;
        Self { session: session.to_owned(), s3: s3_client(&config), config }
    }

    /// Lambda.
    #[must_use]
    pub fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.config)
    }
}

impl Instance {
    /// The instance that `GATEKEEPER_OUTPUTS` points to.
    pub async fn get() -> Self {
        let file = std::env::var_os("GATEKEEPER_OUTPUTS");
        let file = file.expect("these tests need the local AWS: run them by `make test-e2e`");
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("`{}` can't be read: {error}; run `make test-e2e`", file.display()));
        let outputs: Outputs = serde_json::from_str(&text).unwrap();
        let key = Credentials::new(&outputs.access_key_id, &outputs.secret_access_key, None, None, "outputs.json");
        let root = Caller::new(&outputs, "root", key).await;
        Self { outputs, root }
    }

    /// A session of a role.
    pub async fn assume(&self, role_arn: &str, session: &str) -> Caller {
        let sts = aws_sdk_sts::Client::new(&self.root.config);
        let answer = sts.assume_role().role_arn(role_arn).role_session_name(session).send().await.unwrap();
        let got = answer.credentials().unwrap();
        let token = Some(got.session_token().to_owned());
        let credentials = Credentials::new(got.access_key_id(), got.secret_access_key(), token, None, "sts");
        Caller::new(&self.outputs, session, credentials).await
    }

    /// CI.
    pub async fn ci(&self) -> Caller {
        self.assume(&self.outputs.ci_role_arn, "pipeline").await
    }

    /// A release manager.
    pub async fn promoter(&self) -> Caller {
        self.assume(&self.outputs.promoter_role_arn, "jane@bank.example").await
    }

    /// Somebody who approves, under the name that is given.
    pub async fn approver(&self, person: &str) -> Caller {
        self.assume(&self.outputs.approver_role_arn, person).await
    }

    /// An auditor.
    pub async fn auditor(&self) -> Caller {
        self.assume(&self.outputs.auditor_role_arn, "audit").await
    }

    /// The command `gatekeeper`, run by somebody who has nothing but these credentials.
    pub async fn command(&self, who: &Caller) -> Command {
        let credentials = who.config.credentials_provider().unwrap().provide_credentials().await.unwrap();
        let own = std::env::current_exe().unwrap();
        let mut command = Command::new(own.ancestors().nth(2).unwrap().join("gatekeeper"));
        command
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", credentials.access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key())
            .envs(credentials.session_token().map(|token| ("AWS_SESSION_TOKEN", token)))
            .env("AWS_REGION", &self.outputs.region)
            .env("AWS_ENDPOINT_URL", &self.outputs.endpoint)
            .env("GATEKEEPER_OUTPUTS", std::env::var_os("GATEKEEPER_OUTPUTS").unwrap())
            .stdin(Stdio::null());
        command
    }

    /// The administrator of the witness's account.
    pub async fn witness(&self) -> Caller {
        let account = &self.outputs.witness_account_id;
        Caller::new(&self.outputs, "witness", Credentials::new(account, account, None, None, "outputs.json")).await
    }

    /// A function's own role.
    pub async fn role_of(&self, function: &str) -> Caller {
        let lambda = self.root.lambda();
        let answer = lambda.get_function_configuration().function_name(function).send().await.unwrap();
        self.assume(answer.role().unwrap(), function).await
    }
}
