//! Asks `migrate-database` how a stage's schemas are now: it alone may read the databases' secrets.

use std::collections::BTreeMap;

use aws_sdk_lambda::Client;
use gatekeeper_model::{finding::Finding, ids::DatabaseName};
use gatekeeper_promotion::{
    database_check::{ParityAnswer, ParityEvent, ParityQuestion},
    drift::DatabaseLook,
    record::PromotionRecord,
};

use crate::ask::ask;

/// What looks at a stage's databases.
#[derive(Debug)]
pub struct Databases {
    /// Invokes it.
    pub lambda: Client,
    /// Its name; `None` where this gatekeeper was deployed without it.
    pub function: Option<String>,
}

impl Databases {
    /// How the schemas of a promotion's databases are now, and what is wrong with their histories' places. Whatever keeps it
    /// from being told is an answer.
    pub(crate) async fn look(&self, record: &PromotionRecord) -> (BTreeMap<DatabaseName, DatabaseLook>, Vec<Finding>) {
        let databases = &record.plan.databases;
        let all =
            |look: DatabaseLook| (databases.iter().map(|it| (it.database.clone(), look.clone())).collect(), Vec::new());
        if databases.is_empty() {
            return (BTreeMap::new(), Vec::new());
        }
        let Some(function) = &self.function else {
            return all(DatabaseLook::Unknown("this gatekeeper was deployed without `migrate-database`".to_owned()));
        };
        match self.ask(function, record).await {
            Err(why) => all(DatabaseLook::Unknown(why)),
            Ok(mut answer) => {
                let looked = databases.iter().map(|planned| {
                    let name = &planned.database;
                    let look = match (answer.comparisons.remove(name), answer.unknown.remove(name)) {
                        (Some(comparison), _) => DatabaseLook::Schema(Box::new(comparison)),
                        (None, why) => DatabaseLook::Unknown(why.unwrap_or_else(|| "it was not looked at".to_owned())),
                    };
                    (name.clone(), look)
                });
                (looked.collect(), answer.histories)
            }
        }
    }

    async fn ask(&self, function: &str, record: &PromotionRecord) -> Result<ParityAnswer, String> {
        let parity = ParityQuestion {
            stage: record.stage.clone(),
            repo: record.repo.clone(),
            commit_sha: record.commit_sha.clone(),
            role_arn: record.role_arn.clone(),
            databases: record.plan.databases.clone(),
        };
        let body = ask(&self.lambda, function, &ParityEvent { parity }).await?;
        serde_json::from_slice(&body)
            .map_err(|error| format!("`{function}` gave an answer that is not one to a comparison: {error}"))
    }
}
