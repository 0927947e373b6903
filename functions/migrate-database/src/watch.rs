//! The comparison between promotions: has somebody changed a schema behind their backs? It changes nothing.

use aws_sdk_secretsmanager::Client;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_aws::lambda::Invocation;
use gatekeeper_database::Database;
use gatekeeper_model::finding::Finding;
use gatekeeper_promotion::{
    database_check::{ParityAnswer, ParityQuestion},
    plan::PlannedDatabase,
    record::SchemaComparison,
};
use gatekeeper_store::ReadStore;
use serde_json::json;

use crate::{
    Step, Trouble,
    check::{IN_FLIGHT, listed},
    files::configuration,
    parity::parity,
    secret,
};

impl<S: ReadStore> Step<S> {
    /// Compares every database of the question with its tested schema. That one can't be reached is an answer.
    ///
    /// # Errors
    /// Where the snapshots or the secrets could not be asked for, and it may be asked again.
    pub async fn compare(&self, question: &ParityQuestion, invocation: &Invocation) -> Result<ParityAnswer, Trouble> {
        let log = invocation.log.with("repo", question.repo.as_str()).with("commit_sha", question.commit_sha.as_str());
        let log = log.with("stage", question.stage.as_str()).with("step", "migrate-database");
        let client = secret::client(&self.config, question.role_arn.as_deref()).await;
        let (client, log) = (&client, &log);
        let mut compared = stream::iter(&question.databases)
            .map(|planned| async move {
                let (comparison, histories) = self.compare_one(client, planned, question, invocation).await?;
                let fields = match &comparison {
                    Ok(comparison) => json!({
                        "database": planned.database, "equal": comparison.equal, "reasons": histories,
                    }),
                    Err(why) => json!({"database": planned.database, "unknown": why, "reasons": histories}),
                };
                log.info("schema compared", fields);
                Ok::<_, Trouble>((planned.database.clone(), comparison, histories))
            })
            .buffer_unordered(IN_FLIGHT);
        let mut answer = ParityAnswer::default();
        while let Some((database, comparison, histories)) = compared.try_next().await? {
            answer.histories.extend(histories);
            match comparison {
                Ok(comparison) => {
                    answer.comparisons.insert(database, comparison);
                }
                Err(why) => {
                    answer.unknown.insert(database, why);
                }
            }
        }
        Ok(answer)
    }

    /// One comparison, or in words why there is none, and what was found of histories that lie elsewhere.
    async fn compare_one(
        &self,
        client: &Client,
        planned: &PlannedDatabase,
        question: &ParityQuestion,
        invocation: &Invocation,
    ) -> Result<(Result<SchemaComparison, String>, Vec<Finding>), Trouble> {
        let target = match secret::target(client, planned).await? {
            Ok(target) => target,
            Err(finding) => return Ok((Err(finding.message), Vec::new())),
        };
        let limits = self.limits_of_a_look(invocation);
        let database = Database::new(self.tools.clone(), target, "artefact-gatekeeper watch").within(limits);
        let settings = match configuration(&self.artefacts, planned).await? {
            Ok(settings) => settings,
            Err(findings) => return Ok((Err(listed(&findings)), Vec::new())),
        };
        let history = match database.history(&settings).await {
            Ok(history) => history,
            Err(error) => return Ok((Err(error.to_string()), Vec::new())),
        };
        let misplaced = self.misplaced(planned, &question.databases, &settings, &history).await?;
        let compared = parity(&self.artefacts, &database, planned).await?;
        Ok((compared.map(|parity| parity.comparison).map_err(|none| none.to_string()), misplaced))
    }
}
