//! Looks at every stage and says where it is no longer what its last promotion put there: other code, other settings,
//! other templates, another schema, a commit that was taken back, a promise in the records that no longer holds.
//!
//! What is found is decided by [`gatekeeper_promotion::drift`]; here it is looked at and told: in the stage's document, in the
//! ledger, to people, in metrics. It changes nothing in a stage.

mod ask;
mod databases;
mod fresh;
mod look;
mod proofs;
mod runs;
mod stacks;
mod tell;

use aws_config::SdkConfig;
pub use databases::Databases;
use futures_util::{StreamExt as _, stream};
use gatekeeper_aws::{Buckets, kms::KmsKeys, lambda::FunctionError, notify::Notifier, pacer::Pacer};
use gatekeeper_model::{
    finding::Finding,
    ids::{Chain, Repo, StageName},
    store_key::RecordKey,
    telemetry::{Clock, Logger, chain},
};
use gatekeeper_promotion::drift::{Drift, WatchRequest};
use gatekeeper_store::ReadStore as _;
pub use runs::Runs;
use serde::Serialize;
use serde_json::{Value, json};

/// Stages and repositories that are looked at at once.
const LOOKS_IN_FLIGHT: usize = 4;

/// Looks at stages.
#[derive(Debug)]
pub struct Watcher {
    /// The two buckets.
    pub buckets: Buckets,
    /// The gate's key and promotion's.
    pub keys: KmsKeys,
    /// What looks at databases.
    pub databases: Databases,
    /// What looks at what runners left.
    pub runs: Runs,
    /// Tells people.
    pub sns: aws_sdk_sns::Client,
    /// Tells the bus.
    pub notifier: Notifier,
    /// Where people listen.
    pub topic_arn: String,
    /// The configuration of the clients that look at stages.
    pub config: SdkConfig,
    /// The pace of `GetFunction`, for all stages together.
    pub looks: Pacer,
    /// The present.
    pub clock: Clock,
}

/// What the invocation came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Repositories on stages that were looked at.
    pub looked_at: usize,
    /// Those that were not, because a promotion is under way there.
    pub skipped: usize,
    /// Differences that stand.
    pub findings: usize,
    /// Repositories on stages where something has changed since it was last told.
    pub changed: usize,
}

/// What became of one repository on one stage.
#[derive(Debug)]
enum Looked {
    /// A promotion is under way, or has ended meanwhile.
    Skipped,
    /// It was looked at.
    At {
        /// What stands there.
        drift: Box<Drift>,
        /// Whether something has changed since it was last told.
        changed: bool,
    },
}

impl Watcher {
    /// Looks at what the event asks for: everything, or a part. What can't be looked at doesn't keep the rest from it.
    ///
    /// # Errors
    /// `InvalidWatchRequest` for another event; `WatchError` where something could not be looked at, at the end.
    pub async fn handle(&self, event: &Value, log: &Logger) -> Result<Answer, FunctionError> {
        let request = WatchRequest::parse(event).map_err(|error| FunctionError::new("InvalidWatchRequest", error))?;
        let listed = self.buckets.records.list(&RecordKey::stages_prefix(request.stage.as_ref())).await;
        let listed = listed.map_err(|error| FunctionError::new("WatchError", chain(&error)))?;
        let there = listed.iter().filter_map(|it| RecordKey::stage_and_repo(&it.key));
        let wanted: Vec<_> = there.filter(|(stage, repo)| request.takes(stage, repo)).collect();

        let looks = stream::iter(wanted).map(|(stage, repo)| {
            let request = &request;
            async move {
                let log = log.with("stage", stage.as_str()).with("repo", repo.as_str());
                let looked = self.watch(&stage, &repo, request.is_thorough, &log).await;
                (stage, repo, looked)
            }
        });
        let looked: Vec<_> = looks.buffer_unordered(LOOKS_IN_FLIGHT).collect().await;
        let elsewhere = if request.is_whole() { self.elsewhere(&looked).await } else { Ok(Vec::new()) };
        let elsewhere = elsewhere.map_err(|error| FunctionError::new("WatchError", format!("{error:#}")))?;
        let unstated = if request.is_whole() { self.state_repositories(log).await } else { Vec::new() };
        summed_up(&request, &looked, &elsewhere, &unstated, log)
    }

    /// States which repositories each stage has; gives in words why that can't be, where it can't.
    async fn state_repositories(&self, log: &Logger) -> Vec<String> {
        let records = &self.buckets.records;
        let mut failed = Vec::new();
        let stages = async {
            let keys = self.keys.public_keys().await?;
            anyhow::Ok((records.folders(&RecordKey::ledgers_prefix(None)).await?, keys))
        };
        let (stages, keys) = match stages.await {
            Ok(found) => found,
            Err(error) => return vec![format!("{error:#}")],
        };
        let is_one = |it: &StageName| *it != StageName::gate() && *it != StageName::holds();
        for stage in stages.iter().filter_map(|it| it.parse::<StageName>().ok()).filter(is_one) {
            match fresh::state_repositories(records, self.keys.promotion(), &stage, &keys, (self.clock)()).await {
                Ok(true) => log.info("it was stated which repositories a stage has", json!({"stage": stage})),
                Ok(false) => {}
                Err(error) => failed.push(format!("which repositories `{stage}` has can't be stated: {error:#}")),
            }
        }
        failed
    }

    /// Where the witness disagrees with chains of the ledger that no stage's look came to. No document is there to tell of
    /// them, so each run does, until they are put back.
    async fn elsewhere(&self, looked: &[(StageName, Repo, anyhow::Result<Looked>)]) -> anyhow::Result<Vec<Finding>> {
        let Some(witness) = &self.buckets.witness else { return Ok(Vec::new()) };
        let chains = looked.iter().filter(|(.., looked)| matches!(looked, Ok(Looked::At { .. }))).flat_map(
            |(stage, repo, _)| [Chain { stage: stage.clone(), repo: repo.clone() }, Chain::of_gate(repo.clone())],
        );
        let keys = self.keys.public_keys().await?;
        Ok(proofs::elsewhere(&self.buckets.records, witness, &chains.collect(), &keys, (self.clock)()).await?)
    }
}

/// Counts, and fails where something could not be looked at.
fn summed_up(
    request: &WatchRequest,
    looked: &[(StageName, Repo, anyhow::Result<Looked>)],
    elsewhere: &[Finding],
    unstated: &[String],
    log: &Logger,
) -> Result<Answer, FunctionError> {
    let (mut answer, mut failed) = (Answer::default(), Vec::new());
    let mut by_stage = std::collections::BTreeMap::<&StageName, u64>::new();
    for (stage, repo, looked) in looked {
        match looked {
            Ok(Looked::Skipped) => answer.skipped += 1,
            Ok(Looked::At { drift, changed }) => {
                answer.looked_at += 1;
                answer.findings += drift.findings.len();
                answer.changed += usize::from(*changed);
                *by_stage.entry(stage).or_default() += drift.findings.len() as u64;
            }
            Err(error) => {
                let fields = json!({"stage": stage, "repo": repo, "error": format!("{error:#}")});
                log.error("a stage could not be looked at", fields);
                failed.push(format!("`{repo}` on `{stage}`: {error:#}"));
            }
        }
    }
    for Finding { code, subject, message } in elsewhere {
        log.error(
            "the ledger is not what the witness has seen",
            json!({"code": code, "subject": subject, "finding": message}),
        );
        failed.push(format!("{code}: `{subject}`: {message}"));
    }
    for why in unstated {
        log.error("the repositories of a stage can't be stated", json!({"error": why}));
        failed.push(why.clone());
    }
    // A gauge: of a part it would say too little.
    if request.is_whole() {
        log.count("DriftFindings", None, answer.findings as u64);
        for (stage, findings) in by_stage {
            log.count("DriftFindings", Some(("Stage", stage.as_str())), findings);
        }
    }
    log.count("DriftChanged", None, answer.changed as u64);
    log.count("DriftErrors", None, failed.len() as u64);
    if failed.is_empty() { Ok(answer) } else { Err(FunctionError::new("WatchError", failed.join("; "))) }
}
