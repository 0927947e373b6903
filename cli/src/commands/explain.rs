//! `gatekeeper explain`: what a reason code means and what to do, from the table that the manual's page is made of.

use gatekeeper_model::{finding::Code, remedy::Remedy};
use serde::Serialize;

use crate::{
    exit::{Answer, Misuse},
    layout::wrapped,
    nearest::nearest,
    output::{Output, bad, faint, good, open},
};

const EXAMPLES: &str = "\
Examples:
  gatekeeper explain digest-mismatch
  gatekeeper explain soak-not-over approvals-missing
  gatekeeper explain --output json > codes.json";

/// Tells what a reason code means, what to do about it, and a line that shows it
///
/// Without a code it lists all of them. It asks nobody: no credentials are needed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The codes, as verdicts, refusals and logs have them
    #[arg(value_name = "CODE")]
    codes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Explained {
    code: Code,
    meaning: &'static str,
    /// Whether it only warns.
    warning: bool,
    what_to_do: &'static str,
    example: &'static str,
}

impl Explained {
    fn of((code, meaning): &(Code, &'static str)) -> Self {
        let Remedy { what_to_do, example } = code.remedy();
        Self { code: *code, meaning, warning: code.is_warning(), what_to_do, example }
    }

    /// The code itself.
    fn word(&self) -> String {
        if self.warning { open(self.code.as_str()) } else { bad(self.code.as_str()) }
    }

    fn text(&self) -> String {
        let Self { code: _, meaning, warning, what_to_do, example } = self;
        let kind = if *warning { "a warning: nothing is refused because of it" } else { "a refusal" };
        let head = format!("{}  {}", self.word(), faint(kind));
        let (meaning, what_to_do) = (wrapped(meaning, 2), wrapped(what_to_do, 2));
        format!("{head}\n\n{meaning}\n{}\n{what_to_do}\n{}\n  {example}\n", good("What to do"), good("Example"))
    }
}

pub(crate) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    if args.codes.is_empty() {
        let every: Vec<_> = Code::ALL.iter().map(Explained::of).collect();
        output.result(&every, &listed(&every))?;
        return Ok(Answer::Yes);
    }
    let asked: Vec<_> = args.codes.iter().map(|code| explained(code)).collect::<Result<_, _>>()?;
    let texts: Vec<_> = asked.iter().map(Explained::text).collect();
    match asked.as_slice() {
        [one] => output.result(one, &texts.concat())?,
        several => output.result(&several, &texts.join("\n"))?,
    }
    Ok(Answer::Yes)
}

/// A code by its word; people copy it with quotes, or in another case.
fn explained(word: &str) -> Result<Explained, Misuse> {
    let plain = word.trim_matches(|c: char| c.is_whitespace() || "`'\",:".contains(c)).to_ascii_lowercase();
    let plain = plain.replace('_', "-");
    let found = Code::ALL.iter().find(|(code, _)| code.as_str() == plain);
    found.map(Explained::of).ok_or_else(|| {
        let meant = match nearest(&plain, Code::ALL.iter().map(|(code, _)| code.as_str())) {
            Some(code) => format!("did you mean `{code}`?"),
            None => "`gatekeeper explain` lists all of them".to_owned(),
        };
        Misuse(format!("`{word}` is no reason code of this version; {meant}"))
    })
}

/// A code and its meaning, one below the other.
fn listed(every: &[Explained]) -> String {
    let lines = every.iter().map(|it| format!("{}\n{}", it.word(), wrapped(it.meaning, 4)));
    lines.collect()
}
