//! Asks `migrate-database` to look at the stage's databases before anything is applied: a promotion that Flyway would
//! stop half way does not start.

use anyhow::Context as _;
use aws_sdk_lambda::{Client, primitives::Blob};
use gatekeeper_model::finding::{Code, Finding};
use gatekeeper_promotion::{
    database_check::{DatabaseCheck, DatabaseCheckAnswer, DatabaseCheckEvent},
    request::PromotionRequest,
    verify::Verified,
};

/// What looks at a stage's databases: the function that also migrates them, which alone may read their secrets.
#[derive(Debug)]
pub struct DatabaseChecker {
    /// Invokes it.
    pub lambda: Client,
    /// Its name; `None` where this gatekeeper was deployed without it.
    pub function: Option<String>,
}

impl DatabaseChecker {
    /// What the look at the databases came to: every reason why they forbid this promotion, and what is pending, which is
    /// written into the plan too.
    ///
    /// # Errors
    /// Where it could not look.
    pub async fn check(
        &self,
        request: &PromotionRequest,
        verified: &mut Verified,
    ) -> anyhow::Result<DatabaseCheckAnswer> {
        if verified.plan.databases.is_empty() {
            return Ok(DatabaseCheckAnswer::default());
        }
        let Some(function) = &self.function else {
            let message = "this gatekeeper was deployed without `migrate-database`: deploy it with \
                           `MigrateDatabaseImageUri`";
            let refused = |it: &gatekeeper_promotion::plan::PlannedDatabase| {
                Finding::new(Code::NotSupportedYet, it.database.as_str(), message)
            };
            let reasons = verified.plan.databases.iter().map(refused).collect();
            return Ok(DatabaseCheckAnswer { reasons, ..DatabaseCheckAnswer::default() });
        };
        let answer = self.ask(function, &event(request, verified)).await?;
        for migration in &mut verified.plan.migrations {
            migration.state = answer.state_of(&migration.database, &migration.file);
        }
        Ok(answer)
    }

    async fn ask(&self, function: &str, event: &DatabaseCheckEvent) -> anyhow::Result<DatabaseCheckAnswer> {
        let payload = Blob::new(serde_json::to_vec(event)?);
        let answer = self.lambda.invoke().function_name(function).payload(payload).send().await;
        let answer = answer.with_context(|| format!("`{function}` could not be asked to look at the databases"))?;
        let body = answer.payload.map(Blob::into_inner).unwrap_or_default();
        if answer.function_error.is_some() {
            anyhow::bail!("`{function}` could not look at the databases: {}", String::from_utf8_lossy(&body));
        }
        serde_json::from_slice(&body).with_context(|| {
            format!(
                "`{function}` gave an answer that is not one to a database check: deploy all functions in one version"
            )
        })
    }
}

fn event(request: &PromotionRequest, verified: &Verified) -> DatabaseCheckEvent {
    DatabaseCheckEvent {
        check: DatabaseCheck {
            stage: request.stage.clone(),
            repo: verified.commit.repo.clone(),
            commit_sha: verified.commit.sha.clone(),
            role_arn: verified.stage.role_arn.clone(),
            rollback: request.rollback,
            databases: verified.plan.databases.clone(),
            migrations: verified.plan.migrations.clone(),
            sql: request.changes,
            history_before: verified.history_before.clone(),
        },
    }
}
