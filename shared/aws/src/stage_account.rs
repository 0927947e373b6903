//! The stage's account: the gatekeeper's own, or another one that the steps enter by a role of it.

use aws_config::{SdkConfig, sts::AssumeRoleProvider};
use aws_sdk_s3::config::SharedCredentialsProvider;

/// What the sessions are called in the stage's audit trail.
const SESSION_NAME: &str = "artefact-gatekeeper";

/// The configuration whose clients work in the stage's account: `config` itself without a role, else one that takes
/// `role_arn` for an hour (the longest that a role may be taken by a role, IAM user guide "Role chaining").
///
/// The role is taken when the first call is made: a role that may not be taken fails that call.
pub async fn stage_config(config: &SdkConfig, role_arn: Option<&str>) -> SdkConfig {
    let (Some(role_arn), Some(own)) = (role_arn, config.credentials_provider()) else {
        return config.clone();
    };
    let role = AssumeRoleProvider::builder(role_arn)
        .session_name(SESSION_NAME)
        .configure(config)
        .build_from_provider(own)
        .await;
    config.to_builder().credentials_provider(SharedCredentialsProvider::new(role)).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is missing of a function's configuration must not end the step that asks for the role.
    #[tokio::test]
    async fn a_function_can_take_a_role_of_another_account() {
        let own = crate::config();
        let role = stage_config(&own, Some("arn:aws:iam::210987654321:role/stage")).await;
        assert!(role.credentials_provider().is_some());
        assert_eq!(role.endpoint_url(), own.endpoint_url());
    }
}
