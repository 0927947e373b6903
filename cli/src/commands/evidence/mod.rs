//! `gatekeeper evidence`: the answer to "show me the test evidence for what is running".

pub(super) mod pack;

use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, stream};
use gatekeeper_aws::{live, s3::S3Store, stage_account::stage_config};
use gatekeeper_evidence::{
    bundle,
    bundle::{MAX_ALL_ATTACHED_BYTES, MAX_ATTACHED_BYTES},
    collect::{attach, collect},
    exhibits::{Exhibits, Live},
    find::{Found, Selector, find},
    html, judge,
    model::{Evidence, Holds, Question},
    paper, text,
};
use gatekeeper_model::{
    ids::{Repo, Sha256, StageName},
    telemetry,
};
use gatekeeper_promotion::record::PromotionRecord;
use gatekeeper_proof::PublicKeys;
use gatekeeper_store::Stores;
use jiff::{SignedDuration, Timestamp, civil::Date};
use serde::Serialize;

use crate::{
    aws::{Aws, PlaceArgs, public_keys},
    exit::{Answer, Misuse},
    output::{Format, Output, held},
    whole_file,
};

/// Repositories that are looked at at once.
const LOOKS_IN_FLIGHT: usize = 4;

const EXAMPLES: &str = "\
Exit codes:
  0  everything holds; what a policy waives counts as holding, and is told as waived
  1  something doesn't, or nothing of it runs there, or ran there then
  2  wrong use
  3  nothing is known to be wrong, but something could not be looked at: AWS or the network could not be
     reached, or refused

Examples:
  gatekeeper evidence --stage uat
  gatekeeper evidence --stage uat --function authorise-payment --output html --out evidence.html
  gatekeeper evidence --stage uat --repo bank-payments --bundle evidence.zip
  gatekeeper evidence --stage uat --repo bank-payments --at 2026-05-02T12:00:00Z --output json
  gatekeeper evidence --stage prod --all --from 2026-04-01 --to 2026-06-30 --bundle quarter.zip";

/// Shows what a stage runs and proves it: from the live functions back to the tests, every signature and link verified
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The stage
    #[arg(long, value_name = "STAGE")]
    stage: StageName,
    /// This repository only
    #[arg(long, value_name = "REPO", group = "what")]
    repo: Option<Repo>,
    /// The repository of this function, by its bundle's name or by its name in the stage
    #[arg(long, value_name = "NAME", group = "what")]
    function: Option<String>,
    /// The repository of these bytes, by their SHA-256 in hex or as Lambda shows it (`CodeSha256`)
    #[arg(long, value_name = "SHA256", group = "what", value_parser = digest)]
    digest: Option<Sha256>,
    /// What ran at this time, such as 2026-05-02T12:00:00Z; what was live then is taken from the records
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Writes to a file; an ending in `.html` or `.json` says how
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The pack for a regulator: what the stage ran in a period, of all its repositories, as an archive that proves itself; wants
    /// `--from`, `--to` and `--bundle`
    #[arg(long, requires_all = ["from", "to", "bundle"], conflicts_with_all = ["repo", "function", "digest", "at", "out"])]
    all: bool,
    /// The first day of the period, such as 2026-05-01, or a time; in UTC
    #[arg(long, value_name = "DATE", requires = "all", value_parser = beginning)]
    from: Option<Timestamp>,
    /// The last day of the period, or the time at which it ends; in UTC
    #[arg(long, value_name = "DATE", requires = "all", value_parser = end)]
    to: Option<Timestamp>,
    /// Also writes everything that is needed to verify it offline as a ZIP archive; of one repository
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// A digest in hex or base64.
fn digest(text: &str) -> Result<Sha256, gatekeeper_model::ids::InvalidId> {
    text.parse().or_else(|error| Sha256::from_base64(text).ok_or(error))
}

/// The start of a day, or a time.
fn beginning(text: &str) -> Result<Timestamp, String> {
    text.parse().or_else(|_| day(text))
}

/// The end of a day, or a time.
fn end(text: &str) -> Result<Timestamp, String> {
    text.parse().or_else(|_| Ok(day(text)? + SignedDuration::from_hours(24)))
}

fn day(text: &str) -> Result<Timestamp, String> {
    let wrong = |_| format!("`{text}` is neither a day such as 2026-05-01 nor a time such as 2026-05-01T12:00:00Z");
    format!("{}T00:00:00Z", text.parse::<Date>().map_err(wrong)?).parse().map_err(wrong)
}

/// The evidence on a stage.
#[derive(Debug, Serialize)]
struct Document {
    schema_version: u32,
    stage: StageName,
    at: Option<Timestamp>,
    taken_at: Timestamp,
    answer: String,
    verdict: Holds,
    evidence: Vec<Evidence>,
}

impl Document {
    fn of(args: &Args, taken_at: Timestamp, evidence: Vec<Evidence>) -> Self {
        let verdict = evidence.iter().map(|it| it.verdict).max().unwrap_or(Holds::Holds);
        let troubled = evidence.iter().filter(|it| it.verdict != Holds::Holds).count();
        let answer = match evidence.as_slice() {
            [one] => one.answer.clone(),
            all if troubled == 0 => format!("`{}`: of {} repositories everything holds", args.stage, all.len()),
            all if verdict == Holds::Unknown => format!(
                "`{}`: nothing is known to be wrong, but of {troubled} of {} repositories something could not be looked at",
                args.stage,
                all.len()
            ),
            all => format!("`{}`: of {} of {} repositories something doesn't hold", args.stage, troubled, all.len()),
        };
        Self { schema_version: 1, stage: args.stage.clone(), at: args.at, taken_at, answer, verdict, evidence }
    }

    fn text(&self) -> String {
        let texts: Vec<_> = self.evidence.iter().map(|it| text::render(it, held)).collect();
        match texts.as_slice() {
            [one] => one.clone(),
            all => format!("{}\n\n{}", held(self.verdict, &self.answer), all.join("\n\n")),
        }
    }

    fn page(&self) -> anyhow::Result<String> {
        let title = match self.evidence.as_slice() {
            [one] => bundle::title(one),
            _ => format!("Evidence for what {} runs", self.stage),
        };
        Ok(html::page(&title, &self.evidence)?)
    }
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let now = telemetry::wall_clock();
    if args.at.is_some_and(|at| at > now) {
        return Err(Misuse("the time of `--at` is in the future: name one that has passed".to_owned()).into());
    }
    if let (true, Some(from), Some(to), Some(path)) = (args.all, args.from, args.to, &args.bundle) {
        return pack::run(args, (from, to), path, output).await;
    }
    let aws = Aws::at(&args.place).await?;
    let (records, artefacts) = (aws.records().await?, aws.artefacts().await?);
    let selector = selector(args);
    let (keys, found) = tokio::join!(public_keys(&aws), find(&records, &args.stage, &selector, args.at));
    let keys = match keys {
        Ok(keys) => Some(keys),
        Err(error) => {
            output.warning(&format!("no signature can be verified: {}", telemetry::chain(error.as_ref())));
            None
        }
    };
    let repos = found?;
    for unread in &repos.unread {
        output.warning(unread);
    }
    if repos.repos.is_empty() {
        let mut document = Document::of(args, now, Vec::new());
        (document.answer, document.verdict) = nothing(args, &repos);
        output.result(&document, &document.answer)?;
        return Ok(if repos.unread.is_empty() { Answer::No } else { Answer::Open });
    }
    if args.bundle.is_some() && repos.repos.len() > 1 {
        let names: Vec<_> = repos.repos.iter().map(|repo| format!("`{repo}`")).collect();
        return Err(Misuse(format!("a bundle is of one repository: pass `--repo`, one of {}", names.join(", "))).into());
    }

    let stores = Stores { artefacts: &artefacts, records: &records };
    let witness = aws.output("WitnessBucket").await.map(|bucket| aws.bucket(&bucket));
    let looks = stream::iter(repos.repos).map(|repo| {
        let question = Question { stage: args.stage.clone(), repo, at: args.at };
        exhibits(&aws, &stores, witness.as_ref(), question, keys.clone(), now)
    });
    let exhibits: Vec<Exhibits> = looks.buffered(LOOKS_IN_FLIGHT).collect().await;
    let document = Document::of(args, now, exhibits.iter().map(judge).collect());
    let nothing_ran = document.evidence.iter().all(|it| it.runs.is_none());
    if let Some(path) = &args.bundle {
        if nothing_ran {
            output.warning("no bundle is written: there is nothing that ran");
        }
        for exhibits in exhibits.iter().filter(|_| !nothing_ran) {
            write_bundle(path, &artefacts, exhibits.clone()).await?;
        }
    }
    show(args, &document, output)?;
    Ok(match document.verdict {
        Holds::Holds if nothing_ran => Answer::No,
        verdict => Answer::of(verdict),
    })
}

fn selector(args: &Args) -> Selector {
    let repo = args.repo.clone().map(Selector::Repo);
    let function = || args.function.clone().map(Selector::Function);
    let digest = || args.digest.map(Selector::Digest);
    repo.or_else(function).or_else(digest).unwrap_or(Selector::Everything)
}

async fn exhibits(
    aws: &Aws<'_>,
    stores: &Stores<'_, S3Store>,
    witness: Option<&S3Store>,
    question: Question,
    keys: Option<PublicKeys>,
    now: Timestamp,
) -> Exhibits {
    let look = async |record: PromotionRecord| {
        let config = stage_config(&aws.config, record.role_arn.as_deref()).await;
        Live::Seen(live::look(&config, &record.plan).await)
    };
    collect(stores, witness, question, keys, now, look).await
}

/// What is said where nothing that was asked about runs, as far as that could be looked at.
fn nothing(args: &Args, found: &Found) -> (String, Holds) {
    let Args { stage, function, digest, at, .. } = args;
    let when = at.map(|at| format!(" at {at}")).unwrap_or_default();
    let what = match (function, digest) {
        (Some(function), _) => format!("no function `{function}` was promoted to `{stage}`"),
        (_, Some(digest)) => format!("`{stage}` runs nothing with the SHA-256 `{digest}`"),
        _ => format!("nothing was promoted to `{stage}`"),
    };
    let elsewhere = match found.elsewhere.as_slice() {
        [] => String::new(),
        commits => format!("\nthese bytes are of {}", commits.join(", ")),
    };
    if found.unread.is_empty() {
        return (format!("{what}{when}{elsewhere}"), Holds::Holds);
    }
    let unread = found.unread.join("; ");
    (format!("nothing was found{when}, but not everything could be looked at: {unread}{elsewhere}"), Holds::Unknown)
}

async fn write_bundle(path: &Path, artefacts: &S3Store, mut exhibits: Exhibits) -> anyhow::Result<()> {
    attach(artefacts, &mut exhibits, MAX_ATTACHED_BYTES, MAX_ALL_ATTACHED_BYTES).await;
    // Who verifies could not tell what could not be read from what was taken out.
    let unread = exhibits.observed.unread.iter().find(|(name, _)| paper::is_document(name));
    if let Some((name, why)) = unread {
        anyhow::bail!("no bundle is written, for `{name}` could not be looked at: {why}");
    }
    let files = bundle::files(&exhibits, &judge(&exhibits))?;
    Ok(whole_file::write(path, &bundle::pack(&files)?)?)
}

/// Writes the document as it was asked for: to standard output, or to a file.
fn show(args: &Args, document: &Document, output: &mut Output) -> anyhow::Result<()> {
    let Some(path) = &args.out else {
        return match output.format() {
            Format::Html => output.page(&document.page()?),
            Format::Text | Format::Json => output.result(document, &document.text()),
        };
    };
    let ending = path.extension().and_then(|ending| ending.to_str());
    let format = match ending {
        Some("html" | "htm") => Format::Html,
        Some("json") => Format::Json,
        _ => output.format(),
    };
    let bytes = match format {
        Format::Html => document.page()?,
        Format::Json => serde_json::to_string_pretty(document)?,
        Format::Text => anstream::adapter::strip_str(&document.text()).to_string(),
    };
    whole_file::write(path, bytes.as_bytes())?;
    output.progress(&document.answer);
    Ok(())
}
