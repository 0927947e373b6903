//! `gatekeeper doctor`: looks at everything that the command and a promotion need, and says of each what it means and what to
//! do. It changes nothing and reads no secret's value.

mod aws_checks;
mod local_checks;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    aws::{Aws, PlaceArgs},
    exit::Answer,
    layout::wrapped,
    output::{Output, bad, good, open},
};

const EXAMPLES: &str = "\
Exit codes:
  0  nothing that was looked at is wrong; warnings are told
  1  something is wrong
  2  wrong use
  3  AWS could not be reached, so most could not be looked at

Examples:
  gatekeeper doctor
  gatekeeper doctor --profile bank-audit --output json";

/// Looks whether everything is there that the command and promotions need, and says what to do where something isn't
///
/// It changes nothing, and reads no secret's value. What these credentials may not look at is a warning: an auditor's see most.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: PlaceArgs,
}

/// How it is with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    Ok,
    /// It could not be looked at, or matters to some only.
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Line {
    level: Level,
    /// What was looked at.
    what: String,
    /// What was found.
    found: String,
    /// What to do; nothing where it is as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    what_to_do: Option<String>,
}

impl Line {
    fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { level: Level::Ok, what: what.into(), found: found.into(), what_to_do: None }
    }

    fn warn(what: impl Into<String>, found: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self { level: Level::Warn, what_to_do: Some(what_to_do.into()), ..Self::ok(what, found) }
    }

    fn fail(what: impl Into<String>, found: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(what, found, what_to_do) }
    }
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    output.passing("looking …");
    let aws = Aws::at(&args.place).await?;
    let (mut lines, is_reached) = aws_checks::all(&aws).await;
    lines.extend(local_checks::all());
    output.clear_passing();
    output.result(&lines, &text(&lines))?;
    Ok(answer(&lines, is_reached))
}

fn answer(lines: &[Line], is_reached: bool) -> Answer {
    match lines.iter().map(|line| line.level).max() {
        _ if !is_reached => Answer::Open,
        Some(Level::Fail) => Answer::No,
        _ => Answer::Yes,
    }
}

fn text(lines: &[Line]) -> String {
    let mut text = String::new();
    for Line { level, what, found, what_to_do } in lines {
        let word = match level {
            Level::Ok => good("ok  "),
            Level::Warn => open("warn"),
            Level::Fail => bad("FAIL"),
        };
        let told = wrapped(&format!("{what}: {found}"), 6);
        let _ = write!(text, "{word}  {}", told.trim_start());
        if let Some(what_to_do) = what_to_do {
            text.push_str(&wrapped(&format!("→ {what_to_do}"), 6));
        }
    }
    let of = |level| lines.iter().filter(|line| line.level == level).count();
    let _ = write!(text, "\n{} ok, {} to look at, {} wrong\n", of(Level::Ok), of(Level::Warn), of(Level::Fail));
    text
}
