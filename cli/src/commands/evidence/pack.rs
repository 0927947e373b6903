//! `gatekeeper evidence --all`: the pack for a regulator.

use std::path::Path;

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use gatekeeper_evidence::{
    bundle,
    collect::collect,
    exhibits::Live,
    model::Question,
    pack::{self, Period, Report},
};
use gatekeeper_model::telemetry;
use gatekeeper_store::Stores;
use jiff::Timestamp;

use super::{Args, LOOKS_IN_FLIGHT};
use crate::{
    aws::{Aws, public_keys},
    exit::{Answer, Misuse},
    output::{Output, held},
    reason::count,
    whole_file,
};

/// Takes the pack of a period, which ends at the latest now.
pub(super) async fn run(
    args: &Args,
    (from, to): (Timestamp, Timestamp),
    path: &Path,
    output: &mut Output,
) -> anyhow::Result<Answer> {
    let now = telemetry::wall_clock();
    let period = Period { stage: args.stage.clone(), from, to: to.min(now) };
    if period.from >= period.to {
        return Err(Misuse(
            "the period is empty, or has not begun: `--from` must be before `--to` and in the past".into(),
        )
        .into());
    }
    let aws = Aws::at(&args.place).await?;
    let (records, artefacts) = (aws.records().await?, aws.artefacts().await?);
    let keys = public_keys(&aws).await.context("without the public keys nothing can be verified")?;
    output.passing("reading the ledgers …");
    let mut files = pack::read(&records, &period.stage, &keys).await.context("no pack is written")?;
    let wanted = pack::wanted(&files, &period)?;
    let witness = aws.output("WitnessBucket").await.map(|bucket| aws.bucket(&bucket));
    output.passing(&format!("reading the evidence of {} …", count(wanted.len(), "promotion")));
    let stores = Stores { artefacts: &artefacts, records: &records };
    let (stores, witness, keys, stage) = (&stores, witness.as_ref(), &keys, &period.stage);
    let mut bundles = stream::iter(wanted)
        .map(|(repo, promotion, at)| async move {
            let question = Question { stage: stage.clone(), repo: repo.clone(), at: Some(at) };
            let look = async |_| Live::AsRecorded;
            let exhibits = collect(stores, witness, question, Some(keys.clone()), now, look).await;
            (pack::evidence_file(&repo, &promotion), pack::bundled(&exhibits))
        })
        .buffered(LOOKS_IN_FLIGHT);
    while let Some((name, bundled)) = bundles.next().await {
        match bundled {
            Ok(archive) => drop(files.insert(name, archive)),
            Err(why) => output.warning(&format!("`{name}` is missing from the pack: {why}")),
        }
    }
    output.clear_passing();
    let (files, report) = pack::complete(files, &period, keys, now)?;
    whole_file::write(path, &bundle::pack(&files)?)?;
    output.result(&report, &text(&report))?;
    Ok(Answer::of(report.verdict))
}

/// What the report says, and what of it doesn't hold.
pub(crate) fn text(report: &Report) -> String {
    let mut lines = vec![held(report.verdict, &report.answer)];
    for repository in &report.repositories {
        lines.push(format!("  {}: {}", repository.repo, count(repository.ran.len(), "promotion")));
        let troubled = repository.ran.iter().filter(|it| it.verdict.is_trouble());
        lines.extend(
            troubled.map(|it| format!("    {}", held(it.verdict, &format!("{}: {}", it.promotion_id, it.answer)))),
        );
    }
    let troubles = report.checks.iter().filter(|it| it.holds.is_trouble());
    lines.extend(troubles.map(|it| format!("  {}", held(it.holds, &format!("{}: {}", it.name, it.detail)))));
    lines.join("\n")
}
