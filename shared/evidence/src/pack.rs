//! The pack for a regulator: everything that a stage ran in a period, of all its repositories, as one archive that proves
//! itself.
//!
//! Who would sign such a report could only sign what he was told. So nobody signs the report: in the pack are the ledger's
//! chains, whole and signed, what promotion's key stated of which repositories and entries there are, and a bundle of evidence
//! for each promotion. The report is derived from these, and who verifies derives it again. What is left out is missed: an entry
//! by its chain, the end of a chain and a repository by what was stated, a bundle by the entry that tells of its promotion.

use std::collections::{BTreeMap, BTreeSet};

use gatekeeper_model::{
    identity::Person,
    ids::{Chain, CommitSha, PromotionId, Repo, Sha256, StageName},
    store_key::RecordKey,
    telemetry,
};
use gatekeeper_proof::{
    Authority, PublicKeys, freshness,
    ledger::{self, Entry, Kind, StoredEntry},
    stage_repositories,
};
use gatekeeper_store::{ReadStore, StoreError};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    bundle::{self, APPROVAL_KEY, Files, GATE_KEY, InvalidBundle, PROMOTION_KEY, SUMS},
    bundle_trust,
    bundle_verify::{self, MaxAge, OwnKeys, whole},
    exhibits::Exhibits,
    html, judge,
    judge::brings,
    model::{Check, Holds, Part},
};

/// The report.
pub const REPORT: &str = "pack.json";
/// The same as a page.
pub const PAGE: &str = "pack.html";
/// The chains of the ledger.
pub const CHAINS: &str = "chains.json";
/// Which repositories the stage has, as it was stated.
pub const REPOSITORIES: &str = "repositories.json";
const README: &str = "README.txt";
const README_TEXT: &str = include_str!("../templates/pack/README.txt");

const SCHEMA_VERSION: u32 = 1;

/// How long before the end of a period the last statement may have been made: drift watching states once an hour.
const STATED_WITHIN: SignedDuration = freshness::COUNTS_FOR;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// The stage.
    pub stage: StageName,
    /// From when on.
    pub from: Timestamp,
    /// Until when, itself no part of it.
    pub to: Timestamp,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// 1.
    pub schema_version: u32,
    /// What is asked.
    #[serde(flatten)]
    pub period: Period,
    /// When it was taken, which nobody signed.
    pub taken_at: Timestamp,
    /// The gatekeeper that took it.
    pub gatekeeper: String,
    /// The answer in one sentence.
    pub answer: String,
    /// The worst of all checks and of the evidence.
    pub verdict: Holds,
    /// What the stage has, by name.
    pub repositories: Vec<Repository>,
    /// Every check.
    pub checks: Vec<Check>,
}

/// What happened with a repository in the period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repository {
    /// Its name.
    pub repo: Repo,
    /// What the stage ran of it, in order; the first may have come before.
    pub ran: Vec<Ran>,
    /// Everything that its chain and the gate's own tell of the period, in order.
    pub events: Vec<Event>,
}

/// What the stage ran for a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// The promotion that brought it.
    pub promotion_id: PromotionId,
    /// The commit.
    pub commit_sha: CommitSha,
    /// Since when.
    pub since: Timestamp,
    /// Until when; none where it still ran when the pack was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What the bundle of evidence comes to.
    pub verdict: Holds,
    /// In words.
    pub answer: String,
    /// The bundle, by its file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was written.
    pub at: Timestamp,
    /// The entry, by its key and digest.
    pub entry: String,
    /// Its digest.
    pub sha256: Sha256,
    /// What kind of thing happened.
    pub kind: Kind,
    /// What became of it.
    pub outcome: String,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_sha: Option<CommitSha>,
    /// The promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_id: Option<PromotionId>,
    /// Who did it.
    pub by: String,
    /// Who approved it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<Person>,
    /// Why.
    pub reason: String,
    /// What was found, by codes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub codes: BTreeSet<String>,
    /// Whether the stage's rules were set aside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub break_glass: bool,
}

/// The chains as they lie in a pack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chains {
    /// Each of them.
    pub chains: Vec<PackedChain>,
}

/// A chain of the ledger, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackedChain {
    /// The chain.
    pub chain: Chain,
    /// The signed head, byte for byte; none where nothing was ever entered.
    pub head: Option<String>,
    /// The entries from the first on, byte for byte.
    pub entries: Vec<String>,
    /// What was stated of its newest entry, byte for byte; of a stage's chain.
    pub stated: Option<String>,
}

impl PackedChain {
    fn stored(&self) -> Vec<StoredEntry> {
        let entries = (1..).zip(&self.entries);
        entries.map(|(sequence, entry)| StoredEntry::of(sequence, entry.clone().into_bytes())).collect()
    }
}

/// A chain of a pack whose entries were read.
struct ReadChain<'a> {
    packed: &'a PackedChain,
    stored: Vec<StoredEntry>,
}

impl ReadChain<'_> {
    fn is_of(&self, stage: &StageName) -> bool {
        self.packed.chain.stage == *stage
    }
}

/// Reads what a pack on a stage rests on, beside the bundles: every chain of the stage, the gate's own of the same repositories,
/// what holds the stage, and what was stated of them.
///
/// # Errors
/// [`StoreError`] where it could not look: then there is no pack, for what was left out could not be told.
pub async fn read(records: &impl ReadStore, stage: &StageName, keys: &PublicKeys) -> Result<Files, StoreError> {
    let mut chains = Chains::default();
    let repos = records.folders(&RecordKey::ledgers_prefix(Some(stage))).await?;
    for repo in repos.iter().filter_map(|it| it.parse::<Repo>().ok()) {
        let of_stage = Chain { stage: stage.clone(), repo: repo.clone() };
        for chain in [of_stage, Chain::of_gate(repo)] {
            chains.chains.push(packed(records, stage, chain, keys).await?);
        }
    }
    chains.chains.push(packed(records, stage, Chain::of_holds(stage), keys).await?);
    let mut files = Files::new();
    // It is made of texts and numbers alone.
    files.insert(CHAINS.to_owned(), serde_json::to_vec(&chains).unwrap_or_default());
    let stated = RecordKey::StageRepositories(stage.clone()).to_string();
    if let Some(body) = records.get(&stated, None, gatekeeper_proof::MAX_BYTES).await? {
        files.insert(REPOSITORIES.to_owned(), body.bytes);
    }
    Ok(files)
}

async fn packed(
    records: &impl ReadStore,
    stage: &StageName,
    chain: Chain,
    keys: &PublicKeys,
) -> Result<PackedChain, StoreError> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let is_of_stage = chain.stage == *stage;
    let freshness = RecordKey::Freshness(chain.stage.clone(), chain.repo.clone()).to_string();
    let stated = if is_of_stage { records.get(&freshness, None, gatekeeper_proof::MAX_BYTES).await? } else { None };
    let (mut stored, head) = ledger::read_since(records, &chain, 1, keys.of(Authority::of(&chain))).await?;
    stored.sort_by_key(|it| it.sequence);
    let entries = stored.into_iter().map(|it| text(it.bytes)).collect();
    Ok(PackedChain { chain, head: head.map(text), entries, stated: stated.map(|body| text(body.bytes)) })
}

/// What a chain tells that the stage ran in the period: the promotions, since when and until when.
fn ran(entries: &[StoredEntry], period: &Period) -> Vec<(PromotionId, CommitSha, Timestamp, Option<Timestamp>)> {
    let brought = entries.iter().filter_map(|it| it.entry.as_ref()).filter(|entry| brings(entry));
    let brought: Vec<_> = brought
        .filter_map(|it| Some((it.event.promotion_id.clone()?, it.event.commit_sha.clone()?, it.recorded_at)))
        .collect();
    let until = brought.iter().skip(1).map(|(.., at)| Some(*at)).chain([None]);
    let all = brought.iter().cloned().zip(until).map(|((id, sha, since), until)| (id, sha, since, until));
    all.filter(|(_, _, since, until)| *since < period.to && until.is_none_or(|until| until > period.from)).collect()
}

/// Of which promotions a pack must have a bundle, with a time at which the stage ran each.
///
/// # Errors
/// [`InvalidBundle`] where the chains can't be read.
pub fn wanted(files: &Files, period: &Period) -> Result<Vec<(Repo, PromotionId, Timestamp)>, InvalidBundle> {
    let chains = chains(files)?;
    let of_stage = chains.chains.iter().filter(|it| it.chain.stage == period.stage);
    Ok(of_stage
        .flat_map(|it| {
            ran(&it.stored(), period).into_iter().map(|(id, _, since, _)| (it.chain.repo.clone(), id, since))
        })
        .collect())
}

/// Where the bundle of a promotion lies in a pack.
#[must_use]
pub fn evidence_file(repo: &Repo, promotion: &PromotionId) -> String {
    format!("evidence/{repo}/{promotion}.zip")
}

fn chains(files: &Files) -> Result<Chains, InvalidBundle> {
    let bytes = files.get(CHAINS).ok_or_else(|| InvalidBundle(format!("there is no `{CHAINS}`")))?;
    serde_json::from_slice(bytes).map_err(|error| InvalidBundle(format!("`{CHAINS}`: {error}")))
}

/// Adds the keys, the report, its page and the sums to what was read.
///
/// # Errors
/// [`bundle::BundleError`] where a document can't be written.
pub fn complete(
    mut files: Files,
    period: &Period,
    keys: &PublicKeys,
    now: Timestamp,
) -> Result<(Files, Report), bundle::BundleError> {
    bundle::add_keys(&mut files, keys, true);
    files.insert(README.to_owned(), README_TEXT.into());
    let report = derived(&files, period, Some(keys), now);
    files.insert(REPORT.to_owned(), serde_json::to_vec_pretty(&report)?);
    files.insert(PAGE.to_owned(), html::pack_page(&report)?.into_bytes());
    let sums = bundle::sums(&files);
    files.insert(SUMS.to_owned(), sums.into_bytes());
    Ok((files, report))
}

/// The bundle of one promotion, for a pack.
///
/// # Errors
/// In words, where something of it could not be looked at.
pub fn bundled(exhibits: &Exhibits) -> Result<Vec<u8>, String> {
    if let Some((name, why)) = exhibits.observed.unread.iter().next() {
        return Err(format!("`{name}` could not be looked at: {why}"));
    }
    let files = bundle::files(exhibits, &judge(exhibits)).map_err(|error| telemetry::chain(&error))?;
    bundle::pack(&files).map_err(|error| telemetry::chain(&error))
}

/// Verifies a pack: the report is derived from what is in it, and must be the one that is in it.
///
/// # Errors
/// [`InvalidBundle`] where it doesn't tell what it is about.
pub fn verify(files: &Files, own: &OwnKeys, max_age: Option<MaxAge>) -> Result<Report, InvalidBundle> {
    let bytes = files.get(REPORT).ok_or_else(|| InvalidBundle(format!("there is no `{REPORT}`")))?;
    let told: Report = serde_json::from_slice(bytes).map_err(|error| InvalidBundle(format!("`{REPORT}`: {error}")))?;
    chains(files)?;
    let mut checks = vec![whole(files)];
    let keys = bundle_verify::keys(files, own, &mut checks);
    let mut report = derived(files, &told.period, keys.as_ref(), told.taken_at);
    let name = "the report and its page are what follows from the ledgers and the evidence in the pack";
    if told.gatekeeper == report.gatekeeper {
        let mut wrong = Vec::new();
        if serde_json::to_vec_pretty(&report).ok().as_ref() != files.get(REPORT) {
            wrong.push(format!("`{REPORT}` says something else"));
        }
        if html::pack_page(&report).ok().map(String::into_bytes).as_ref() != files.get(PAGE) {
            wrong.push(format!("`{PAGE}` says something else"));
        }
        checks.push(bundle_verify::check(name, &wrong, "byte for byte"));
    } else {
        let detail = format!("gatekeeper {} made the pack, this is {}", told.gatekeeper, report.gatekeeper);
        checks.push(Check { part: Part::Bundle, name: name.to_owned(), holds: Holds::Unknown, detail });
    }
    checks.extend(max_age.map(|max_age| age(files, &told.period, keys.as_ref(), max_age)));
    report.checks.extend(checks);
    Ok(concluded(report))
}

/// How old a pack is, by when it was stated which repositories the stage has.
fn age(files: &Files, period: &Period, keys: Option<&PublicKeys>, MaxAge { at_most, now }: MaxAge) -> Check {
    let name = "how old the pack is at most follows from what is signed in it";
    let stated = keys.zip(files.get(REPOSITORIES));
    let stated = stated.and_then(|(keys, bytes)| stage_repositories::open(bytes, &period.stage, keys).ok());
    let (wrong, detail) = match stated {
        None => (vec!["no time is signed in it".to_owned()], String::new()),
        Some(stated) if now.duration_since(stated.stated_at) > at_most => {
            let hours = at_most.as_hours();
            (
                vec![format!("what is newest in it was signed at {:.0}, more than {hours} h ago", stated.stated_at)],
                String::new(),
            )
        }
        Some(stated) => (Vec::new(), format!("what is newest in it was signed at {:.0}", stated.stated_at)),
    };
    bundle_verify::check(name, &wrong, &detail)
}

fn check(part: Part, name: String, holds: Holds, detail: impl Into<String>) -> Check {
    Check { part, name, holds, detail: detail.into() }
}

/// The report that follows from the files, whatever a report among them says.
fn derived(files: &Files, period: &Period, keys: Option<&PublicKeys>, taken_at: Timestamp) -> Report {
    let mut checks = Vec::new();
    let chains = chains(files).unwrap_or_default();
    let chains: Vec<_> = chains.chains.iter().map(|packed| ReadChain { packed, stored: packed.stored() }).collect();
    let mut by_repo = BTreeMap::<&Repo, Vec<&ReadChain<'_>>>::new();
    let mut seen = BTreeSet::new();
    for read in &chains {
        let chain = &read.packed.chain;
        checks.push(proved(read, keys));
        if !seen.insert(chain.to_string()) {
            let name = format!("the ledger `{chain}` is in the pack once");
            checks.push(check(Part::Ledger, name, Holds::Fails, "it is there twice"));
        }
        if read.is_of(&period.stage) || chain.is_of_gate() {
            by_repo.entry(&chain.repo).or_default().push(read);
        }
    }
    checks.push(repositories_are_whole(files, period, keys, &by_repo));
    let mut known: BTreeSet<String> =
        [REPORT, PAGE, CHAINS, REPOSITORIES, README, SUMS, GATE_KEY, PROMOTION_KEY, APPROVAL_KEY]
            .map(str::to_owned)
            .into();
    let mut repositories = Vec::new();
    for (repo, chains) in &by_repo {
        let of_stage = chains.iter().find(|it| it.is_of(&period.stage));
        checks.extend(of_stage.map(|chain| is_newest(chain.packed, chains, period, keys)));
        let ran = of_stage.map(|chain| ran(&chain.stored, period)).unwrap_or_default();
        let ran = ran.into_iter().map(|(promotion_id, commit_sha, since, until)| {
            let file = evidence_file(repo, &promotion_id);
            let (verdict, answer) = judged(files, &file, (repo, &promotion_id, &commit_sha), period);
            let evidence = files.contains_key(&file).then(|| file.clone());
            known.insert(file);
            Ran { promotion_id, commit_sha, since, until, verdict, answer, evidence }
        });
        let ran: Vec<_> = ran.collect();
        let mut events: Vec<_> = chains.iter().flat_map(|chain| events(chain, period)).collect();
        events.sort_by_key(|it| it.at);
        repositories.push(Repository { repo: (*repo).clone(), ran, events });
    }
    let strange: Vec<_> = files.keys().filter(|name| !known.contains(*name) && !bundle_trust::is_root(name)).collect();
    let name = "the pack holds nothing that it is not about";
    let wrong: Vec<_> = strange.iter().map(|name| format!("`{name}`")).collect();
    checks.push(bundle_verify::check(name, &wrong, "every file is of a ledger, of a promotion or of the keys"));
    concluded(Report {
        schema_version: SCHEMA_VERSION,
        period: period.clone(),
        taken_at,
        gatekeeper: env!("CARGO_PKG_VERSION").to_owned(),
        answer: String::new(),
        verdict: Holds::Unknown,
        repositories,
        checks,
    })
}

fn proved(ReadChain { packed, stored }: &ReadChain<'_>, keys: Option<&PublicKeys>) -> Check {
    let chain = &packed.chain;
    let name = format!("the ledger `{chain}` is unbroken from its first entry to its signed head");
    let Some(keys) = keys else {
        return check(Part::Ledger, name, Holds::Fails, "there are no keys to verify it with");
    };
    let head = packed.head.as_deref().map(str::as_bytes);
    let proof = ledger::prove_whole(chain, stored.clone(), head, None, keys.of(Authority::of(chain)));
    match proof.broken {
        Some(broken) => check(Part::Ledger, name, Holds::Fails, format!("entry {}: {}", broken.sequence, broken.what)),
        None => check(Part::Ledger, name, Holds::Holds, format!("{} entries", packed.entries.len())),
    }
}

/// No repository was left out: those that were stated are there.
fn repositories_are_whole(
    files: &Files,
    period: &Period,
    keys: Option<&PublicKeys>,
    there: &BTreeMap<&Repo, Vec<&ReadChain<'_>>>,
) -> Check {
    let name = "no repository of the stage is left out".to_owned();
    let at = |holds, detail: String| check(Part::Ledger, name.clone(), holds, detail);
    let (Some(keys), Some(stated)) = (keys, files.get(REPOSITORIES)) else {
        return at(
            Holds::Unknown,
            "which repositories the stage has was never stated: does drift watching run?".to_owned(),
        );
    };
    let stated = match stage_repositories::open(stated, &period.stage, keys) {
        Ok(stated) => stated,
        Err(error) => return at(Holds::Fails, format!("`{REPOSITORIES}`: {error}")),
    };
    // The gate's own chain of a repository says nothing of what the stage has of it.
    let is_there = |repo: &Repo| there.get(repo).is_some_and(|chains| chains.iter().any(|it| it.is_of(&period.stage)));
    let missing: Vec<_> = stated.repositories.iter().filter(|repo| !is_there(repo)).map(Repo::as_str).collect();
    if !missing.is_empty() {
        return at(Holds::Fails, format!("the stage had {} at {:.0}", missing.join(", "), stated.stated_at));
    }
    let number = stated.repositories.len();
    let detail = format!("{number} were stated at {:.0}, signed with the promotion key", stated.stated_at);
    if period.to.duration_since(stated.stated_at) > STATED_WITHIN {
        return at(Holds::Unknown, format!("{detail}; of what came after that, until {}, nothing is known", period.to));
    }
    at(Holds::Holds, detail)
}

/// No end of a chain was left out: it has the entry that was stated to be its newest.
fn is_newest(packed: &PackedChain, of_repo: &[&ReadChain<'_>], period: &Period, keys: Option<&PublicKeys>) -> Check {
    let chain = &packed.chain;
    let name = format!(
        "the ledgers of `{}` end with the entries that were stated to be their newest, or go on from them",
        chain.repo
    );
    let at = |holds, detail: String| check(Part::Ledger, name.clone(), holds, detail);
    let (Some(keys), Some(stated)) = (keys, &packed.stated) else {
        return at(Holds::Unknown, "which are the newest was never stated: does drift watching run?".to_owned());
    };
    let stated = match freshness::open(stated.as_bytes(), chain, keys) {
        Ok(stated) => stated,
        Err(error) => return at(Holds::Fails, error.to_string()),
    };
    for (of, newest) in freshness::chains(chain).iter().zip(&stated.newest) {
        let entries = of_repo.iter().find(|it| it.packed.chain == *of).map(|it| &*it.stored).unwrap_or_default();
        let found = entries.iter().find(|it| newest.as_ref().is_some_and(|newest| newest.sequence == it.sequence));
        let ends_at = entries.last().map_or(0, |it| it.sequence);
        if let Some(what) = stated.contradicts(newest.as_ref(), found.map(|it| it.sha256), ends_at) {
            return at(Holds::Fails, format!("`{of}`: {what}"));
        }
    }
    let detail = format!("stated at {:.0}, signed with the promotion key", stated.at);
    if period.to.duration_since(stated.at) > STATED_WITHIN {
        return at(Holds::Unknown, format!("{detail}; of what came after that, until {}, nothing is known", period.to));
    }
    at(Holds::Holds, detail)
}

/// What the bundle of a promotion comes to, under the keys of the pack.
fn judged(
    files: &Files,
    file: &str,
    (repo, promotion, commit): (&Repo, &PromotionId, &CommitSha),
    period: &Period,
) -> (Holds, String) {
    let Some(archive) = files.get(file) else {
        return (Holds::Fails, "there is no evidence of it in the pack".to_owned());
    };
    let inner = match bundle::unpack(archive) {
        Ok(inner) => inner,
        Err(error) => return (Holds::Fails, error.to_string()),
    };
    let is_shared = |name: &str| [GATE_KEY, PROMOTION_KEY, APPROVAL_KEY].contains(&name) || bundle_trust::is_root(name);
    if let Some((name, _)) = inner.iter().find(|(name, bytes)| is_shared(name) && files.get(*name) != Some(*bytes)) {
        return (Holds::Fails, format!("its `{name}` is not the pack's"));
    }
    let evidence = match bundle_verify::verify(&inner, &OwnKeys::default(), None) {
        Ok(evidence) => evidence,
        Err(error) => return (Holds::Fails, error.to_string()),
    };
    let question = &evidence.question;
    let is_of_it =
        evidence.runs.as_ref().is_some_and(|runs| runs.promotion_id == *promotion && runs.commit_sha == *commit);
    if question.stage != period.stage || question.repo != *repo || !is_of_it {
        return (Holds::Fails, "its evidence is of something else".to_owned());
    }
    (evidence.verdict, evidence.answer)
}

/// What a chain tells of the period.
fn events(ReadChain { packed, stored }: &ReadChain<'_>, period: &Period) -> Vec<Event> {
    let in_it = stored.iter().filter_map(|it| Some((it, it.entry.as_ref()?)));
    let in_it = in_it.filter(|(_, entry)| entry.recorded_at >= period.from && entry.recorded_at < period.to);
    in_it.map(|(stored, entry)| event(&packed.chain, stored, entry)).collect()
}

fn event(chain: &Chain, stored: &StoredEntry, entry: &Entry) -> Event {
    let event = entry.event.clone();
    Event {
        at: entry.recorded_at,
        entry: RecordKey::LedgerEntry(chain.clone(), stored.sequence).to_string(),
        sha256: stored.sha256,
        kind: event.kind,
        outcome: event.outcome,
        commit_sha: event.commit_sha,
        promotion_id: event.promotion_id,
        by: event.by,
        approved_by: event.approved_by,
        reason: event.reason,
        codes: event.findings.iter().map(|it| it.code.as_str().to_owned()).collect(),
        break_glass: event.break_glass,
    }
}

fn concluded(mut report: Report) -> Report {
    let ran = report.repositories.iter().flat_map(|it| &it.ran);
    let (promotions, evidence) = ran.fold((0, Holds::Holds), |(count, worst), it| (count + 1, worst.max(it.verdict)));
    let worst = report.checks.iter().map(|it| it.holds).max().unwrap_or(Holds::Holds).max(evidence);
    report.verdict = if worst == Holds::Waived { Holds::Holds } else { worst };
    let Period { stage, from, to } = &report.period;
    let what = format!(
        "`{stage}` from {from:.0} to {to:.0}: {promotions} promotions of {} repositories",
        report.repositories.len()
    );
    report.answer = match report.verdict {
        Holds::Fails => format!("{what}; something doesn't hold"),
        Holds::Unknown => format!("{what}; nothing is known to be wrong, but something could not be looked at"),
        Holds::Holds | Holds::Waived => format!("{what}; everything holds"),
    };
    report
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
