//! Following a promotion live: its steps from the execution's history, its end from its record.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use gatekeeper_aws::s3::S3Store;
use gatekeeper_model::telemetry;
use gatekeeper_promotion::{
    record::{PromotionRecord, Status},
    runs::OpenLease,
    step::{PromotionRef, Report, ReportStatus},
};
use gatekeeper_store::record;
use jiff::{SignedDuration, Timestamp};

use crate::{
    aws::called,
    history::{Event, Step, Steps},
    output::{Output, bad, faint, good, open},
};

/// How long to wait between two looks, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(300);
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// How many looks in a row may fail: the promotion goes on meanwhile.
const MAX_FAILED_LOOKS: u32 = 5;

/// How many looks the record may lag behind the end of its execution, or that behind it.
const LOOKS_AFTER_THE_END: u32 = 10;

/// Adds to `steps` what has happened in an execution since the last look.
pub(crate) async fn look(client: &aws_sdk_sfn::Client, execution: &str, steps: &mut Steps) -> anyhow::Result<()> {
    let mut news = Vec::new();
    // Newest first, so that a long history isn't read again and again.
    let request = client.get_execution_history().execution_arn(execution).reverse_order(true).max_results(200);
    let mut pages = request.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = called("GetExecutionHistory", page)?;
        let events = page.events();
        news.extend(events.iter().filter_map(Event::read));
        if events.last().is_none_or(|oldest| oldest.id() <= steps.last_id + 1) {
            break;
        }
    }
    news.reverse();
    steps.add(news);
    Ok(())
}

/// How far a promotion is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// To its end.
    Ended,
    /// To where a runner may carry out its part, or to its end where it doesn't come to that.
    Leased,
}

/// How far a promotion came.
#[derive(Debug)]
pub(crate) enum Followed {
    /// To its end, as its record says.
    Ended(Box<PromotionRecord>),
    /// To where a runner may carry out its part.
    Leased(Box<PromotionRecord>, OpenLease),
    /// To where whoever watched had seen enough: it goes on.
    Left,
}

/// Follows a promotion. An interrupt ends the following and not the promotion.
pub(crate) async fn follow(
    client: &aws_sdk_sfn::Client,
    records: &S3Store,
    promotion: &PromotionRef,
    execution: &str,
    until: Until,
    output: &mut Output,
) -> anyhow::Result<Followed> {
    tokio::select! {
        followed = to_there(client, records, promotion, execution, until, output) => return followed,
        interrupted = tokio::signal::ctrl_c() => interrupted.context("an interrupt could not be waited for")?,
    }
    output.clear_passing();
    output.progress(&goes_on(promotion));
    Ok(Followed::Left)
}

/// What is said to whoever stops following.
fn goes_on(promotion: &PromotionRef) -> String {
    let PromotionRef { stage, repo, promotion_id } = promotion;
    format!(
        "the promotion of {repo} to {stage} goes on; `gatekeeper follow {promotion_id}` follows it again, and \
         `gatekeeper stop {promotion_id} --reason …` stops it"
    )
}

async fn to_there(
    client: &aws_sdk_sfn::Client,
    records: &S3Store,
    promotion: &PromotionRef,
    execution: &str,
    until: Until,
    output: &mut Output,
) -> anyhow::Result<Followed> {
    let (mut steps, mut told, mut wait) = (Steps::default(), 0, FIRST_WAIT);
    let (mut failed_looks, mut looks_after_the_end) = (0, 0);
    loop {
        let record = match look(client, execution, &mut steps).await {
            Ok(()) => PromotionRecord::load(records, promotion).await.map_err(anyhow::Error::new),
            Err(error) => Err(error),
        };
        let record = match record {
            Ok(stored) if until == Until::Leased && stored.record.status == Status::Running => {
                let open = record::read::<OpenLease>(records, &OpenLease::key(promotion)).await;
                open.map(|open| (stored, open)).map_err(anyhow::Error::new)
            }
            other => other.map(|stored| (stored, None)),
        };
        output.clear_passing();
        for step in steps.list.iter().skip(told).take_while(|step| step.ended_at.is_some()) {
            let line = ended(step, output.is_live());
            output.progress(&line);
            told += 1;
        }
        match record {
            Ok((stored, Some(open))) => return Ok(Followed::Leased(Box::new(stored.record), open.record)),
            Ok((stored, None)) if !matches!(stored.record.status, Status::Running | Status::GoingBack) => {
                // Stage, handoffs and lock follow from the record: who looks at them next shall find them.
                looks_after_the_end += 1;
                if steps.is_over || looks_after_the_end > LOOKS_AFTER_THE_END {
                    return Ok(Followed::Ended(Box::new(stored.record)));
                }
                wait = FIRST_WAIT;
            }
            Ok(_) if steps.is_over => {
                looks_after_the_end += 1;
                if looks_after_the_end > LOOKS_AFTER_THE_END {
                    let key = PromotionRecord::key(promotion);
                    return Err(anyhow!(
                        "the execution `{execution}` is over, but the record `{key}` does not say how it ended; redrive \
                         the execution, or look at its history"
                    ));
                }
            }
            Ok(_) => failed_looks = 0,
            Err(error) => {
                failed_looks += 1;
                if failed_looks > MAX_FAILED_LOOKS {
                    let id = &promotion.promotion_id;
                    return Err(error).with_context(|| {
                        format!(
                            "promotion `{id}` can no longer be followed; it goes on, and `gatekeeper follow {id}` follows it again"
                        )
                    });
                }
            }
        }
        if let Some(step) = steps.list.get(told) {
            output.passing(&running(step, telemetry::wall_clock()));
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 5 / 4).min(LONGEST_WAIT);
    }
}

/// A step's name; on the way back it says so.
pub(crate) fn name(step: &Step) -> String {
    format!("{}{}", step.name, if step.going_back { " (going back)" } else { "" })
}

/// A step that is over; a mark for those who watch, a word for a log.
pub(crate) fn ended(step: &Step, is_live: bool) -> String {
    let (done, failed) = if is_live { ("✓", "✗") } else { ("done  ", "failed") };
    let seconds = seconds(step.ended_at.map_or(SignedDuration::ZERO, |end| end.duration_since(step.started_at)));
    let name = name(step);
    match &step.failure {
        Some(why) => format!("{} {name:<28} {seconds:>8}  {why}", bad(failed)),
        None => format!("{} {name:<28} {seconds:>8}{}", good(done), behind(&summary(&step.reports))),
    }
}

/// A step that is under way.
pub(crate) fn running(step: &Step, now: Timestamp) -> String {
    let seconds = seconds(now.duration_since(step.started_at).max(SignedDuration::ZERO));
    let says = match &step.failure {
        Some(_) => "failed, trying again".to_owned(),
        None => summary(&step.reports),
    };
    format!("{} {:<28} {seconds:>8}{}", open("…"), name(step), behind(&says))
}

/// What is told behind the time, where there is anything.
fn behind(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!("  {}", faint(what)) }
}

/// `12.3 s`
fn seconds(duration: SignedDuration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// What became of the things that a step works on: by name where they are few.
fn summary(reports: &[Report]) -> String {
    if reports.len() <= 3 {
        let each = reports.iter().map(|report| format!("{} {}", report.subject, word(report.status)));
        return each.collect::<Vec<_>>().join(", ");
    }
    let statuses = [
        ReportStatus::Applied,
        ReportStatus::Unchanged,
        ReportStatus::Passed,
        ReportStatus::InProgress,
        ReportStatus::Failed,
    ];
    let counted = statuses.into_iter().map(|status| (reports.iter().filter(|it| it.status == status).count(), status));
    let counted = counted.filter(|(count, _)| *count > 0);
    counted.map(|(count, status)| format!("{count} {}", word(status))).collect::<Vec<_>>().join(", ")
}

fn word(status: ReportStatus) -> &'static str {
    match status {
        ReportStatus::InProgress => "in progress",
        ReportStatus::Applied => "applied",
        ReportStatus::Unchanged => "unchanged",
        ReportStatus::Passed => "passed",
        ReportStatus::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::told;

    fn plain(line: &str) -> String {
        anstream::adapter::strip_str(line).to_string()
    }

    #[test]
    fn each_step_is_one_line() {
        let story = "ApplyStack> +in-progress ApplyStack< ApplyStack> +done ApplyStack< SmokeTest> +failed SmokeTest< back ApplyStack> !";
        let steps = told(story);
        let lines: Vec<_> = steps
            .list
            .iter()
            .map(|step| match step.ended_at {
                Some(_) => plain(&format!("{}\n{}", ended(step, true), ended(step, false))),
                None => plain(&running(step, step.started_at + SignedDuration::from_millis(2_340))),
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        ✓ ApplyStack                      5.0 s  payments-api applied
        done   ApplyStack                      5.0 s  payments-api applied
        ✗ SmokeTest                       2.0 s  `payments-api`: said so
        failed SmokeTest                       2.0 s  `payments-api`: said so
        … ApplyStack (going back)         2.3 s  failed, trying again
        "#);
    }

    #[test]
    fn whoever_stops_following_learns_that_it_goes_on() {
        let promotion = PromotionRef {
            stage: "uat".parse().unwrap(),
            repo: "bank-payments".parse().unwrap(),
            promotion_id: "01J0000000000000000000000A".parse().unwrap(),
        };
        insta::assert_snapshot!(goes_on(&promotion), @"the promotion of bank-payments to uat goes on; `gatekeeper follow 01J0000000000000000000000A` follows it again, and `gatekeeper stop 01J0000000000000000000000A --reason …` stops it");
    }

    #[test]
    fn many_things_are_counted() {
        let one = told("ApplyStack> +done").list.remove(0).reports.remove(0);
        let mut reports = vec![one; 5];
        reports[4].status = ReportStatus::Failed;
        assert_eq!(summary(&reports), "4 applied, 1 failed");
        assert_eq!(summary(&reports[3..]), "payments-api applied, payments-api failed");
    }
}
