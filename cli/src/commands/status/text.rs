//! The rows for people: a repository a paragraph, what matters first.

use std::fmt::Write as _;

use gatekeeper_model::verdict::Outcome;
use jiff::Timestamp;

use super::{Drifted, Promoting, Row, Runs};
use crate::output::{bad, faint, good, open};

/// All rows.
pub(super) fn of(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "nothing was promoted yet".to_owned();
    }
    let stage_width = rows.iter().map(|row| row.stage.as_str().len()).max().unwrap_or(0);
    let repo_width = rows.iter().map(|row| row.repo.as_str().len()).max().unwrap_or(0);
    let indent = stage_width + 2 + repo_width + 2;
    let mut text = String::new();
    for Row { stage, repo, runs, drift, promoting } in rows {
        let name = format!("{:stage_width$}  {:repo_width$}", stage.as_str(), repo.as_str());
        let first = match runs {
            Some(runs) => format!("{}  {}", runs.commit_sha, state(runs)),
            None => "nothing was promoted yet".to_owned(),
        };
        let _ = writeln!(text, "{name}  {first}");
        let below = [runs.as_ref().map(origin), drift.as_ref().map(drifted), promoting.as_ref().map(under_way)];
        for line in below.into_iter().flatten() {
            let _ = writeln!(text, "{:indent$}{line}", "");
        }
    }
    text
}

/// Whether the commit still may run.
fn state(Runs { outcome, revoked, .. }: &Runs) -> String {
    match (revoked, outcome) {
        (Some(why), _) => format!("{} {why}", bad("revoked")),
        (None, Some(Outcome::Built)) => good("built"),
        (None, Some(outcome)) => bad(outcome.as_str()),
        (None, None) => bad("no verdict"),
    }
}

fn origin(Runs { since, promotion_id, requested_by, rollback, .. }: &Runs) -> String {
    let promotion = if *rollback { "rollback" } else { "promotion" };
    let by = requested_by.as_deref().unwrap_or("somebody unknown (the record is gone)");
    faint(&format!("since {}, by {by}, {promotion} {promotion_id}", second(*since)))
}

fn drifted(Drifted { findings, first, since, checked_at }: &Drifted) -> String {
    let checked = format!("checked {}", second(*checked_at));
    let Some(first) = first else { return faint(&format!("as it was promoted, {checked}")) };
    let what = if *findings == 1 { "1 difference".to_owned() } else { format!("{findings} differences") };
    let since = since.map(|since| format!(" since {}", second(since))).unwrap_or_default();
    // The first line of it: a schema's difference has many.
    let message = first.message.lines().next().unwrap_or_default();
    format!("{} {what}{since}, {checked}: {} `{}`: {message}", bad("drifted"), first.code, first.subject)
}

fn under_way(Promoting { promotion_id, since, is_over, step, .. }: &Promoting) -> String {
    let state = if *is_over { "the promotion's execution ended without releasing its lock" } else { "promoting" };
    let step = step.as_ref().map(|step| format!(", at {step}")).unwrap_or_default();
    format!("{}{step}, since {}, promotion {promotion_id}", open(state), second(*since))
}

/// A time to the second, UTC.
fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::{
        finding::{Code, Finding},
        ids::PromotionId,
    };

    use super::*;

    fn id(last: char) -> PromotionId {
        format!("01J000000000000000000000{last}A").parse().unwrap()
    }

    fn row(repo: &str, runs: Option<Runs>, promoting: Option<(bool, Option<&str>)>) -> Row {
        Row {
            stage: "uat".parse().unwrap(),
            repo: repo.parse().unwrap(),
            runs,
            drift: None,
            promoting: promoting.map(|(is_over, step)| Promoting {
                promotion_id: id('1'),
                execution_arn: "arn".to_owned(),
                since: "2026-05-03T03:04:05Z".parse().unwrap(),
                is_over,
                step: step.map(str::to_owned),
            }),
        }
    }

    fn runs() -> Runs {
        Runs {
            commit_sha: "3f1c9a0b5d7e2468ace013579bdf02468ace1357".parse().unwrap(),
            since: "2026-05-02T03:04:05.678Z".parse().unwrap(),
            promotion_id: id('0'),
            requested_by: Some("jane@bank.example".to_owned()),
            rollback: false,
            outcome: Some(Outcome::Built),
            revoked: None,
        }
    }

    fn with_drift(row: Row, findings: &[&str]) -> Row {
        let drift = Drifted {
            findings: findings.len(),
            first: findings.first().map(|it| Finding::new(Code::FunctionChanged, "authorise", *it)),
            since: findings.first().map(|_| "2026-05-04T03:04:05Z".parse().unwrap()),
            checked_at: "2026-05-04T04:04:05.1Z".parse().unwrap(),
        };
        Row { drift: Some(drift), ..row }
    }

    fn rows() -> Vec<Row> {
        let gone = Runs { requested_by: None, rollback: true, outcome: None, ..runs() };
        let revoked = Runs { revoked: Some("by jane@bank.example: rounds down".to_owned()), ..runs() };
        vec![
            row("bank-kyc", None, Some((false, Some("ApplyStack")))),
            with_drift(row("bank-payments", Some(runs()), None), &[]),
            row("bank-risk-platform", Some(runs()), Some((true, None))),
            with_drift(row("bank-ledger", Some(revoked), None), &["it runs other code\nof which", "and more"]),
            with_drift(row("bank-cards", Some(gone), None), &["it runs other code"]),
        ]
    }

    #[test]
    fn every_stage_and_repository_is_told_with_what_is_wrong_and_what_is_under_way() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&of(&rows())).to_string(), @r#"
        uat  bank-kyc            nothing was promoted yet
                                 promoting, at ApplyStack, since 2026-05-03T03:04:05Z, promotion 01J0000000000000000000001A
        uat  bank-payments       3f1c9a0b5d7e2468ace013579bdf02468ace1357  built
                                 since 2026-05-02T03:04:05Z, by jane@bank.example, promotion 01J0000000000000000000000A
                                 as it was promoted, checked 2026-05-04T04:04:05Z
        uat  bank-risk-platform  3f1c9a0b5d7e2468ace013579bdf02468ace1357  built
                                 since 2026-05-02T03:04:05Z, by jane@bank.example, promotion 01J0000000000000000000000A
                                 the promotion's execution ended without releasing its lock, since 2026-05-03T03:04:05Z, promotion 01J0000000000000000000001A
        uat  bank-ledger         3f1c9a0b5d7e2468ace013579bdf02468ace1357  revoked by jane@bank.example: rounds down
                                 since 2026-05-02T03:04:05Z, by jane@bank.example, promotion 01J0000000000000000000000A
                                 drifted 2 differences since 2026-05-04T03:04:05Z, checked 2026-05-04T04:04:05Z: function-changed `authorise`: it runs other code
        uat  bank-cards          3f1c9a0b5d7e2468ace013579bdf02468ace1357  no verdict
                                 since 2026-05-02T03:04:05Z, by somebody unknown (the record is gone), rollback 01J0000000000000000000000A
                                 drifted 1 difference since 2026-05-04T03:04:05Z, checked 2026-05-04T04:04:05Z: function-changed `authorise`: it runs other code
        "#);
        insta::assert_snapshot!(of(&[]), @"nothing was promoted yet");
    }

    #[test]
    fn the_document_has_the_same() {
        insta::assert_json_snapshot!([&rows()[0], &rows()[3]], @r#"
        [
          {
            "stage": "uat",
            "repo": "bank-kyc",
            "runs": null,
            "drift": null,
            "promoting": {
              "promotion_id": "01J0000000000000000000001A",
              "execution_arn": "arn",
              "since": "2026-05-03T03:04:05Z",
              "is_over": false,
              "step": "ApplyStack"
            }
          },
          {
            "stage": "uat",
            "repo": "bank-ledger",
            "runs": {
              "commit_sha": "3f1c9a0b5d7e2468ace013579bdf02468ace1357",
              "since": "2026-05-02T03:04:05.678Z",
              "promotion_id": "01J0000000000000000000000A",
              "requested_by": "jane@bank.example",
              "rollback": false,
              "outcome": "built",
              "revoked": "by jane@bank.example: rounds down"
            },
            "drift": {
              "findings": 2,
              "first": {
                "code": "function-changed",
                "message": "it runs other code\nof which",
                "subject": "authorise"
              },
              "since": "2026-05-04T03:04:05Z",
              "checked_at": "2026-05-04T04:04:05.1Z"
            },
            "promoting": null
          }
        ]
        "#);
    }
}
