//! `gatekeeper waivers`: what is waived of which stage's rules, for what, until when and by whom.

use std::{collections::BTreeMap, fmt::Write as _};

use futures_util::{StreamExt as _, future, stream};
use gatekeeper_model::{
    finding::Code,
    ids::{Chain, CommitSha, Repo, StageName, WaiverId},
    policy::{Condition, Policy},
    store_key::RecordKey,
    telemetry,
};
use gatekeeper_promotion::{
    brake::SignedWord,
    waiver::{ProposedWaiver, scope},
};
use gatekeeper_proof::{
    ledger,
    ledger::{Entry, Kind, Waiver},
};
use gatekeeper_store::{Stores, record};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    aws::{Aws, PlaceArgs},
    exit::Answer,
    layout::wrapped,
    output::{Output, bad, faint, good, open},
    records::{Records, looked},
    stages::Stages,
};

/// Objects that are read at once.
const LOOKS_IN_FLIGHT: usize = 48;

/// The largest policy that is read, in bytes.
const MAX_POLICY_BYTES: u64 = 1024 * 1024;

const EXAMPLES: &str = "\
Examples:
  gatekeeper waivers
  gatekeeper waivers --stage prod --expired --output json";

/// Lists what two people waived of stages' rules, what waits for a second person, and what the policy waives
///
/// Whether it is signed, `promote` looks at whenever a waiver matters, and `gatekeeper ledger verify` proves.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only those of this stage
    #[arg(long, value_name = "STAGE")]
    stage: Option<StageName>,
    /// Those too whose time is over, or that somebody ended
    #[arg(long)]
    expired: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Document {
    waivers: Vec<Row>,
    /// What the policy lets repositories leave untold, until somebody configures another policy.
    policy: Vec<ByPolicy>,
}

/// One waiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    stage: StageName,
    waiver_id: WaiverId,
    state: State,
    code: Code,
    repo: Repo,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_sha: Option<CommitSha>,
    until: Timestamp,
    reason: String,
    proposed_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    agreed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<String>,
    /// Why it was ended, in the words of whoever did.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_because: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    InForce,
    Waiting,
    Over,
    Ended,
}

/// A condition that the policy lets be untold.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct ByPolicy {
    condition: Condition,
    /// The repository; `None` where it is every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    repo: Option<Repo>,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::at(&args.place).await?;
    let now = telemetry::wall_clock();
    let document = looked(&aws, output, async |stores| look(args, stores, now).await).await?;
    output.result(&document, &text(&document, args))?;
    Ok(Answer::Yes)
}

/// What is waived, and what could not be told. Three dependent round trips: which stages, what there is, what it says.
async fn look<S: Records>(
    args: &Args,
    Stores { records, .. }: Stores<'_, S>,
    now: Timestamp,
) -> anyhow::Result<(Document, Vec<String>)> {
    let policy_key = RecordKey::PolicyConfig.to_string();
    let of_holds = RecordKey::ledgers_prefix(Some(&StageName::holds()));
    let (stages, policy, chains) = tokio::join!(
        Stages::read(records),
        records.get(&policy_key, None, MAX_POLICY_BYTES),
        records.folders_beginning(&of_holds)
    );
    let mut troubles: Vec<_> = stages.trouble.clone().into_iter().collect();
    let policy = match policy {
        Ok(None) => Vec::new(),
        Ok(Some(body)) => by_policy(&body.bytes).unwrap_or_else(|why| {
            troubles.push(format!("what the policy waives can't be told: {why}"));
            Vec::new()
        }),
        Err(error) => {
            troubles.push(format!("what the policy waives can't be told: {}", telemetry::chain(&error)));
            Vec::new()
        }
    };
    let known: Vec<StageName> = chains?
        .iter()
        .filter_map(|it| it.trim_end_matches('/').rsplit('/').next()?.strip_prefix("stage-")?.parse().ok())
        .collect();
    if let Some(stage) = &args.stage {
        stages.check(stage, &known)?;
    }
    let all = stages.with(known).into_iter().filter(|it| args.stage.as_ref().is_none_or(|wanted| wanted == it));
    let of_stages = future::join_all(all.map(|stage| of_stage(records, stage, now))).await;
    let mut waivers = Vec::new();
    for looked in of_stages {
        let (rows, trouble) = looked?;
        waivers.extend(rows);
        troubles.extend(trouble);
    }
    waivers.retain(|it| args.expired || matches!(it.state, State::InForce | State::Waiting));
    Ok((Document { waivers, policy }, troubles))
}

/// What the policy's document waives.
fn by_policy(document: &[u8]) -> Result<Vec<ByPolicy>, String> {
    let policy = Policy::parse(document).map_err(|error| error.to_string())?;
    let for_all = policy.all.waive.iter().map(|condition| ByPolicy { condition: *condition, repo: None });
    let own = policy.repos.iter().flat_map(|(repo, own)| {
        own.waive.iter().map(|condition| ByPolicy { condition: *condition, repo: Some(repo.clone()) })
    });
    Ok(for_all.chain(own).collect())
}

async fn of_stage(records: &impl Records, stage: StageName, now: Timestamp) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let chain = Chain::of_holds(&stage);
    let (prefix, head_key) = (RecordKey::ledger_prefix(&chain), RecordKey::LedgerHead(chain).to_string());
    let proposals_prefix = RecordKey::waivers_prefix(&stage);
    let (head, entries, proposals) = tokio::join!(
        records.get(&head_key, None, ledger::MAX_BYTES),
        records.dated(&prefix, None),
        records.dated(&proposals_prefix, None)
    );
    let mut troubles = Vec::new();
    let standing = match head? {
        None => ledger::Standing::default(),
        Some(head) => ledger::unproved_standing_in(&head.bytes).unwrap_or_else(|| {
            troubles.push(format!("what is waived on `{stage}` can't be told: `{head_key}` can't be read"));
            ledger::Standing::default()
        }),
    };
    let entries = entries?.into_iter().map(|it| it.key).filter(|key| *key != head_key);
    let entries = stream::iter(entries).map(|key| async move {
        let body = records.get(&key, None, ledger::MAX_BYTES).await?;
        anyhow::Ok(body.and_then(|body| serde_json::from_slice::<Entry>(&body.bytes).ok()))
    });
    let places = proposals?.into_iter().filter_map(|it| RecordKey::proposed_waiver_of(&stage, &it.key));
    let proposals = stream::iter(places).map(|place| async move {
        let read = record::read::<SignedWord<ProposedWaiver>>(records, &place).await;
        (place, read)
    });
    let (entries, proposals) = tokio::join!(
        entries.buffered(LOOKS_IN_FLIGHT).collect::<Vec<_>>(),
        proposals.buffered(LOOKS_IN_FLIGHT).collect::<Vec<_>>()
    );
    let mut rows: BTreeMap<WaiverId, Row> = BTreeMap::new();
    for (place, read) in proposals {
        match read {
            Ok(Some(stored)) => {
                let row = waiting(stored.record.word, now);
                rows.insert(row.waiver_id.clone(), row);
            }
            Ok(None) => {}
            Err(error) => troubles.push(format!("`{place}` can't be told: {}", telemetry::chain(&error))),
        }
    }
    for entry in entries {
        let Some(Entry { event, .. }) = entry? else { continue };
        let Some(waiver) = event.waiver else { continue };
        let mut row = agreed(&stage, *waiver, now);
        if event.kind == Kind::WaiverEnd {
            (row.state, row.ended_by, row.ended_because) = (State::Ended, Some(event.by), Some(event.reason));
        }
        rows.insert(row.waiver_id.clone(), row);
    }
    // The head is written first, and is what counts.
    for (id, row) in &mut rows {
        if row.state == State::InForce && !standing.waivers.contains_key(id) {
            row.state = State::Ended;
        }
    }
    rows.extend(standing.waivers.into_iter().map(|(id, waiver)| (id, agreed(&stage, waiver, now))));
    let mut rows: Vec<_> = rows.into_values().collect();
    rows.sort_by_key(|it| (it.state, it.until));
    Ok((rows, troubles))
}

fn waiting(word: ProposedWaiver, now: Timestamp) -> Row {
    let ProposedWaiver { waiver_id, stage, repo, commit_sha, code, until, proposed_by, reason, .. } = word;
    Row {
        stage,
        waiver_id,
        state: if until > now { State::Waiting } else { State::Over },
        code,
        repo,
        commit_sha,
        until,
        reason,
        proposed_by: proposed_by.person.to_string(),
        agreed_by: None,
        ended_by: None,
        ended_because: None,
    }
}

fn agreed(stage: &StageName, waiver: Waiver, now: Timestamp) -> Row {
    let Waiver { id, repo, commit_sha, code, until, reason, proposed_by, agreed_by, .. } = waiver;
    Row {
        stage: stage.clone(),
        waiver_id: id,
        state: if until > now { State::InForce } else { State::Over },
        code,
        repo,
        commit_sha,
        until,
        reason,
        proposed_by: proposed_by.to_string(),
        agreed_by: Some(agreed_by.to_string()),
        ended_by: None,
        ended_because: None,
    }
}

fn text(document: &Document, args: &Args) -> String {
    let Document { waivers, policy } = document;
    let mut text = String::new();
    if waivers.is_empty() {
        let of = args.stage.as_ref().map_or_else(|| "any stage".to_owned(), |stage| format!("`{stage}`"));
        let _ = writeln!(text, "nobody waives a rule of {of}");
    }
    for row in waivers {
        let Row { stage, waiver_id, state, code, repo, commit_sha, until, reason, proposed_by, .. } = row;
        let state = match state {
            State::InForce => good("in force"),
            State::Waiting => open("waiting"),
            State::Over => faint("over"),
            State::Ended => bad("ended"),
        };
        let _ = writeln!(text, "{waiver_id}  {state}  {code} of {stage}, until {until:.0}");
        text.push_str(&wrapped(&format!("for {}", scope(repo, commit_sha.as_ref())), 2));
        let by = match &row.agreed_by {
            Some(agreed_by) => format!("by {proposed_by} and {agreed_by}: {reason}"),
            None => format!("proposed by {proposed_by}: {reason}"),
        };
        text.push_str(&wrapped(&by, 2));
        if let (Some(by), Some(because)) = (&row.ended_by, &row.ended_because) {
            text.push_str(&wrapped(&format!("ended by {by}: {because}"), 2));
        }
        if row.state == State::Waiting {
            let line = format!("agree: gatekeeper waive --stage {stage} --agree {waiver_id} --reason …");
            let _ = writeln!(text, "  {}", faint(&line));
        }
    }
    if !policy.is_empty() {
        let _ = writeln!(text, "\nthe policy lets be untold, until it is changed:");
        for ByPolicy { condition, repo } in policy {
            let of = repo.as_ref().map_or("every repository", Repo::as_str);
            let condition = serde_json::to_value(condition).unwrap_or_default();
            let _ = writeln!(text, "  {} of {of}", condition.as_str().unwrap_or("?"));
        }
    }
    text
}

#[cfg(test)]
#[path = "waivers_tests.rs"]
mod tests;
