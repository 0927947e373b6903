//! A database's secret, from Secrets Manager.

use aws_config::SdkConfig;
use gatekeeper_aws::{
    failure::{Failure, code, said},
    stage_account::stage_config,
};
use gatekeeper_database::Target;
use gatekeeper_model::finding::{Code, Finding};
use gatekeeper_promotion::plan::PlannedDatabase;

use crate::Trouble;

/// What else Secrets Manager says where asking again changes nothing (Secrets Manager API reference, `GetSecretValue`).
const FINAL: &[&str] =
    &["DecryptionFailure", "InvalidParameterException", "InvalidRequestException", "ValidationException"];

/// The client for the secrets of the stage's account.
pub async fn client(config: &SdkConfig, role_arn: Option<&str>) -> aws_sdk_secretsmanager::Client {
    aws_sdk_secretsmanager::Client::new(&stage_config(config, role_arn).await)
}

/// Where the database is. What is wrong with the secret is said without its content.
///
/// # Errors
/// Where Secrets Manager could not be asked.
pub async fn target(
    client: &aws_sdk_secretsmanager::Client,
    planned: &PlannedDatabase,
) -> Result<Result<Target, Finding>, Trouble> {
    let wrong = |why: String| {
        let message = format!("its secret `{}` {why}", planned.secret_arn);
        Ok(Err(Finding::new(Code::DatabaseSecretInvalid, planned.database.as_str(), message)))
    };
    let answer = match client.get_secret_value().secret_id(&planned.secret_arn).send().await {
        Ok(answer) => answer,
        Err(error)
            if matches!(Failure::of(&error), Failure::Absent | Failure::Denied)
                || code(&error).is_some_and(|code| FINAL.contains(&code)) =>
        {
            return wrong(format!("can't be read: {}", said(&error)));
        }
        Err(error) => return Err(error.into()),
    };
    let Some(text) = answer.secret_string() else {
        return wrong("holds bytes instead of text".to_owned());
    };
    match Target::from_secret_at(text, &planned.place) {
        Ok(target) => Ok(Ok(target)),
        Err(invalid) => wrong(format!("does not tell how to reach the database: {invalid}")),
    }
}
