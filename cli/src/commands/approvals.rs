//! `gatekeeper approvals`: which promotions somebody asked for wait for whose approval.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use futures_util::{StreamExt as _, future::join_all, stream};
use gatekeeper_model::{
    finding::Code,
    identity::Person,
    ids::{Chain, Commit, CommitSha, Repo, StageName},
    store_key::RecordKey,
    telemetry,
};
use gatekeeper_promotion::{
    approval::GivenApproval,
    counting::{Counting, Owners},
    history::StageState,
    identities,
    identities::{Authors, Identities},
};
use gatekeeper_proof::{
    TrustedKeys, ledger,
    ledger::{Entry, Kind},
};
use gatekeeper_store::{ReadStore, Stores, record};
use jiff::Timestamp;
use serde::Serialize;

use super::commits::{self, Around, Looked, promotable};
use crate::{
    aws::{Aws, PlaceArgs, approval_key},
    exit::Answer,
    layout::{minute, wrapped},
    output::{Output, faint, good, open},
    records::{Records, looked},
    stages::Stages,
};

/// Objects that are read at once.
const LOOKS_IN_FLIGHT: usize = 48;

/// How many of a chain's newest entries are looked at.
const NEWEST_ENTRIES: u64 = 40;

const EXAMPLES: &str = "\
Examples:
  gatekeeper approvals
  gatekeeper approvals --stage prod --mine --profile approver";

/// Lists the commits whose promotion somebody asked for, and that wait for approvals
///
/// A promotion that was refused for too few approvals waits until the stage takes the commit. Of each chain of the ledger the
/// newest 40 entries are looked at; who asks by a dry run alone does not show. `gatekeeper commits --promotable STAGE` lists
/// what nobody has asked for yet.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only those for this stage
    #[arg(long, value_name = "STAGE")]
    stage: Option<StageName>,
    /// Only those that the caller's approval would count for
    #[arg(long)]
    mine: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// A commit that waits.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Row {
    stage: StageName,
    repo: Repo,
    commit_sha: CommitSha,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    /// Who asked last, as they said, when and why.
    asked_by: String,
    asked_at: Timestamp,
    reason: String,
    /// How many approvals the stage asks for.
    needed: u8,
    /// Whose approval counts.
    approved_by: Vec<String>,
    /// Whose doesn't, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_counted: Vec<gatekeeper_promotion::counting::NotCounted>,
    /// What stands against it beside approvals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waits_for: Vec<gatekeeper_model::finding::Finding>,
}

/// That somebody asked, and was refused.
#[derive(Debug, Clone)]
struct Asked {
    commit: Commit,
    by: String,
    at: Timestamp,
    reason: String,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::at(&args.place).await?;
    let me = if args.mine { Some(aws.caller().await?) } else { None };
    let me = me.as_deref().map(Person::behind);
    anyhow::ensure!(
        me != Some(None),
        "these credentials are of nobody who could approve: a role's session or a user is"
    );
    let now = telemetry::wall_clock();
    let key = approval_key(&aws);
    let rows =
        looked(&aws, output, async |stores| look(args.stage.as_ref(), me.flatten(), stores, key, now).await).await?;
    output.result(&rows, &text(&rows, args))?;
    Ok(Answer::Yes)
}

/// What waits, and what could not be told. Four dependent round trips: the stages, their chains, what those tell, and what is
/// known of each commit that waits.
async fn look<S: Records>(
    only: Option<&StageName>,
    me: Option<Person>,
    stores: Stores<'_, S>,
    approval_key: impl Future<Output = anyhow::Result<TrustedKeys>>,
    now: Timestamp,
) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let records = stores.records;
    let identities_key = RecordKey::IdentitiesConfig.to_string();
    let (stages, identities, key) =
        tokio::join!(Stages::read(records), records.get(&identities_key, None, identities::MAX_BYTES), approval_key);
    let mut troubles: Vec<_> = stages.trouble.clone().into_iter().collect();
    let key = key.map_err(|error| {
        troubles.push(format!("no approval counts here, for none can be verified: {error:#}"));
    });
    let identities = Identities::of(identities?.as_ref());
    if let Some(stage) = only {
        stages.check(stage, &[])?;
    }
    let of_interest = stages.order.iter().filter(|stage| only.is_none_or(|wanted| wanted == *stage));
    let asking: Vec<_> = of_interest
        .filter(|stage| stages.get(stage).is_some_and(|configured| configured.approvals > 0))
        .cloned()
        .collect();
    let listed = join_all(asking.iter().map(async |stage| {
        let (entries, approvals) = (RecordKey::ledgers_prefix(Some(stage)), RecordKey::approvals_for(Some(stage)));
        tokio::join!(records.dated(&entries, None), records.dated(&approvals, None))
    }));
    let (mut chains, mut approvals) = (BTreeMap::<Chain, u64>::new(), BTreeMap::<_, Vec<RecordKey>>::new());
    for ((entries, given), stage) in listed.await.into_iter().zip(&asking) {
        for key in entries?.into_iter().map(|it| it.key) {
            let Some((chain, place)) = RecordKey::chain_of(&key).zip(place(&key)) else { continue };
            let newest = chains.entry(chain).or_default();
            *newest = place.max(*newest);
        }
        for (commit, key) in given?.iter().filter_map(|it| RecordKey::approval(&it.key)) {
            approvals.entry((stage.clone(), commit)).or_default().push(key);
        }
    }
    let repos: BTreeSet<Repo> = chains.keys().map(|chain| chain.repo.clone()).collect();
    let (asked, states) = tokio::join!(asked(records, &chains), states(records, &stages, &repos));
    let (asked, more) = asked?;
    troubles.extend(more);
    let mut states = states?;
    let looks = stream::iter(asked).map(|(stage, asked)| {
        let (given, key) = (approvals.get(&(stage.clone(), asked.commit.clone())), key.as_ref().ok());
        let given = given.map_or(&[] as &[_], Vec::as_slice);
        async move {
            let found = commits::commit(stores, asked.commit.clone(), asked.at, given, key).await;
            (stage, asked, found)
        }
    });
    let mut around = Around { stages, states: BTreeMap::new(), identities, now };
    let mut rows = Vec::new();
    for (stage, asked, found) in looks.buffered(LOOKS_IN_FLIGHT).collect::<Vec<_>>().await {
        let (found, more) = found?;
        troubles.extend(more);
        // The same repository's states serve all of its commits.
        around.states = states.remove(&asked.commit.repo).unwrap_or_default();
        rows.extend(row(&stage, &asked, &found, &around, me.as_ref()));
        states.insert(asked.commit.repo, std::mem::take(&mut around.states));
    }
    rows.sort_by_key(|it| it.asked_at);
    troubles.sort();
    troubles.dedup();
    Ok((rows, troubles))
}

/// The place of a ledger's entry, by its key.
fn place(key: &str) -> Option<u64> {
    key.rsplit('/').next()?.strip_suffix(".json")?.parse().ok()
}

/// Of each stage what was asked for last of each commit, where that was refused for approvals.
async fn asked(
    records: &impl ReadStore,
    chains: &BTreeMap<Chain, u64>,
) -> anyhow::Result<(Vec<(StageName, Asked)>, Vec<String>)> {
    let places = chains.iter().flat_map(|(chain, newest)| {
        let first = newest.saturating_sub(NEWEST_ENTRIES - 1).max(1);
        (first..=*newest).rev().map(move |place| RecordKey::LedgerEntry(chain.clone(), place).to_string())
    });
    let read = stream::iter(places).map(|key| async move {
        let body = records.get(&key, None, ledger::MAX_BYTES).await;
        (key, body)
    });
    let (mut seen, mut waiting, mut troubles) = (BTreeSet::new(), Vec::new(), Vec::new());
    for (key, body) in read.buffered(LOOKS_IN_FLIGHT).collect::<Vec<_>>().await {
        let Some(body) = body? else { continue };
        let Ok(Entry { chain, recorded_at, event, .. }) = serde_json::from_slice::<Entry>(&body.bytes) else {
            troubles.push(format!("`{key}` can't be read, so what it tells is left out"));
            continue;
        };
        let Some(sha) = event.commit_sha.filter(|_| matches!(event.kind, Kind::Refusal | Kind::Promotion)) else {
            continue;
        };
        let commit = Commit { repo: chain.repo, sha };
        // The newest come first: what was asked before was answered by it.
        if !seen.insert((chain.stage.clone(), commit.clone())) || event.kind != Kind::Refusal {
            continue;
        }
        if event.findings.iter().any(|it| it.code == Code::ApprovalsMissing) {
            waiting.push((chain.stage, Asked { commit, by: event.by, at: recorded_at, reason: event.reason }));
        }
    }
    Ok((waiting, troubles))
}

/// What every stage runs of these repositories.
async fn states(
    records: &impl ReadStore,
    stages: &Stages,
    repos: &BTreeSet<Repo>,
) -> anyhow::Result<BTreeMap<Repo, BTreeMap<StageName, StageState>>> {
    let every = repos.iter().flat_map(|repo| stages.order.iter().map(move |stage| (stage.clone(), repo.clone())));
    let read = stream::iter(every).map(|(stage, repo)| async move {
        let state = record::read::<StageState>(records, &RecordKey::Stage(stage.clone(), repo.clone())).await?;
        anyhow::Ok((repo, stage, state))
    });
    let mut states: BTreeMap<Repo, BTreeMap<StageName, StageState>> = BTreeMap::new();
    for found in read.buffered(LOOKS_IN_FLIGHT).collect::<Vec<_>>().await {
        let (repo, stage, state) = found?;
        states.entry(repo).or_default().extend(state.map(|state| (stage, state.record)));
    }
    Ok(states)
}

/// The commit's row, where it still waits for approvals; of one person where theirs would count.
fn row(stage: &StageName, asked: &Asked, found: &Looked, around: &Around, me: Option<&Person>) -> Option<Row> {
    let Asked { commit, by, at, reason } = asked;
    let promotable = promotable::row(found, &commit.repo, stage, around)?;
    let (waits, others): (Vec<_>, Vec<_>) = promotable.waits_for.into_iter().partition(|it| is_of_approvals(it.code));
    if waits.is_empty() {
        return None;
    }
    let identities = around.identities.as_ref().ok()?;
    let (manifest, manifest_version_id) = (found.manifest.as_ref()?, found.manifest_version_id.as_ref()?);
    let authors = Authors::of(manifest, identities);
    // Who names nobody is told by the ARN.
    let asker = Person::behind(by).unwrap_or_else(|| Person::named(by));
    let owners = Owners { requester: Some(&asker), authors: &authors, identities };
    let counting = Counting { commit, stage, manifest_version_id, plan_sha256: None, owners };
    let (counted, not_counted) = counting.count(&found.approvals);
    if let Some(me) = me
        && owners.why_not(me, counted.iter().map(|it| it.person())).is_some()
    {
        return None;
    }
    let approved_by = counted.into_iter().map(GivenApproval::person).map(ToString::to_string).collect();
    Some(Row {
        stage: stage.clone(),
        repo: commit.repo.clone(),
        commit_sha: commit.sha.clone(),
        author: promotable.author,
        asked_by: asker.to_string(),
        asked_at: *at,
        reason: reason.clone(),
        needed: around.stages.get(stage)?.approvals,
        approved_by,
        not_counted,
        waits_for: others,
    })
}

fn is_of_approvals(code: Code) -> bool {
    matches!(code, Code::ApprovalsMissing | Code::ApprovalNotProved | Code::ApprovalPlanDiffers | Code::AuthorUnknown)
}

fn text(rows: &[Row], args: &Args) -> String {
    if rows.is_empty() {
        let whose = if args.mine { "your approval" } else { "approvals" };
        let of = args.stage.as_ref().map_or_else(String::new, |stage| format!(" for `{stage}`"));
        return format!("nothing that was asked for{of} waits for {whose}");
    }
    let mut text = String::new();
    for row in rows {
        let Row { stage, repo, commit_sha, asked_by, asked_at, reason, needed, approved_by, .. } = row;
        let so_far = format!("{} of {needed}", approved_by.len());
        let so_far = if approved_by.is_empty() { open(&so_far) } else { good(&so_far) };
        let short = commit_sha.as_str().get(..12).unwrap_or_default();
        let _ = writeln!(text, "{so_far}  {repo}@{short} to {stage}");
        text.push_str(&wrapped(&format!("asked for by {asked_by} at {} (UTC): {reason}", minute(*asked_at)), 2));
        let author = row.author.as_deref().unwrap_or("nobody who is told");
        text.push_str(&wrapped(&format!("written by {author}"), 2));
        if !approved_by.is_empty() {
            text.push_str(&wrapped(&format!("approved by {}", approved_by.join(", ")), 2));
        }
        for not_counted in &row.not_counted {
            text.push_str(&wrapped(&format!("{} doesn't count: {}", not_counted.person, not_counted.why), 2));
        }
        for finding in &row.waits_for {
            text.push_str(&wrapped(&format!("waits too: {}: {}", finding.code, finding.message), 2));
        }
        let line = format!("gatekeeper approve --stage {stage} --repo {repo} --sha {short} --reason …");
        let _ = writeln!(text, "  {}", faint(&line));
    }
    text
}

#[cfg(test)]
#[path = "approvals_tests.rs"]
mod tests;
