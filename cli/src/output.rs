//! The one owner of standard output and standard error: results there, progress and trouble here.

use std::io::{self, IsTerminal as _, Write};

use anstream::ColorChoice;
use anyhow::Context as _;
use clap::builder::styling::{AnsiColor, Style};
use gatekeeper_evidence::model::Holds;
use gatekeeper_model::telemetry;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// A page that stands alone; of `evidence` only.
    Html,
}

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const OPEN: Style = AnsiColor::Yellow.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// Text in `style`; colours are taken out again where nobody sees them (not a terminal, `NO_COLOR`).
fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// A word about something that holds or doesn't.
pub(crate) fn held(holds: Holds, word: &str) -> String {
    match holds {
        Holds::Holds => good(word),
        Holds::Waived | Holds::Unknown => open(word),
        Holds::Fails => bad(word),
    }
}

/// What is as it should be.
pub(crate) fn good(text: &str) -> String {
    styled(GOOD, text)
}

/// What is wrong.
pub(crate) fn bad(text: &str) -> String {
    styled(BAD, text)
}

/// What is not decided yet.
pub(crate) fn open(text: &str) -> String {
    styled(OPEN, text)
}

/// What is only needed at a second look.
pub(crate) fn faint(text: &str) -> String {
    styled(FAINT, text)
}

/// Where results, progress and trouble are written.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    stdout: anstream::Stdout,
    stderr: anstream::Stderr,
    is_live: bool,
    /// Whether standard output is a screen that can be written over.
    is_screen: bool,
    /// What was written last of what is written again and again.
    last: Option<String>,
}

impl Output {
    /// Writes results to standard output.
    pub(crate) fn to_stdout(format: Format) -> Self {
        // Without escapes a line can't be taken away again.
        let escapes = anstream::AutoStream::choice(&io::stderr()) != ColorChoice::Never;
        let is_live = escapes && io::stderr().is_terminal();
        let escapes = anstream::AutoStream::choice(&io::stdout()) != ColorChoice::Never;
        let is_screen = format == Format::Text && escapes && io::stdout().is_terminal();
        Self { format, stdout: anstream::stdout(), stderr: anstream::stderr(), is_live, is_screen, last: None }
    }

    /// Writes the result of the command, once: `document` as JSON or `text` for people.
    pub(crate) fn result(&mut self, document: &impl Serialize, text: &str) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Text | Format::Html => text.trim_end().to_owned(),
            Format::Json => serde_json::to_string_pretty(document)?,
        };
        self.write(&text)
    }

    /// Writes the result of the command, once, as a page.
    pub(crate) fn page(&mut self, page: &str) -> anyhow::Result<()> {
        self.write(page.trim_end())
    }

    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        match writeln!(self.stdout, "{text}").and_then(|()| self.stdout.flush()) {
            // Whoever reads has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("the result could not be written to standard output"),
        }
    }

    /// Writes a result that is looked at again and again: over the last one on a screen, else where it has changed, as JSON
    /// a document a line.
    pub(crate) fn again(&mut self, document: &impl Serialize, text: &str, now: Timestamp) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Text | Format::Html => text.trim_end().to_owned(),
            Format::Json => serde_json::to_string(document)?,
        };
        let written = if self.is_screen {
            // From the top; what is left of each line and below the last is cleared.
            let lines = text.replace('\n', "\x1b[K\n");
            let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
            write!(self.stdout, "\x1b[H{lines}\x1b[K\n\n{}\x1b[K\n\x1b[J", faint(&format!("{now}, every 2 s")))
        } else if self.last.as_ref() == Some(&text) {
            return Ok(());
        } else {
            let between = if self.last.is_some() && self.format == Format::Text { "\n" } else { "" };
            writeln!(self.stdout, "{between}{text}")
        };
        self.last = Some(text);
        written.and_then(|()| self.stdout.flush()).context("the result could not be written to standard output")
    }

    /// How the result is to be written.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Whether the result is a JSON document.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Passes on what another program put out, byte by byte; where the result is a document, beside it.
    pub(crate) fn pass_on(&mut self, bytes: &[u8]) {
        // Whoever doesn't read it doesn't keep the program from its end.
        let _ = match self.format {
            Format::Text | Format::Html => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
            Format::Json => io::stderr().write_all(bytes),
        };
    }

    /// Tells of progress.
    pub(crate) fn progress(&mut self, line: &str) {
        // There is nowhere to tell that nobody can be told.
        let _ = writeln!(self.stderr, "{}", line.trim_end());
    }

    /// Whether somebody watches, so that a line may change while it is looked at.
    pub(crate) fn is_live(&self) -> bool {
        self.is_live
    }

    /// Shows a line that the next line replaces, where somebody watches.
    pub(crate) fn passing(&mut self, line: &str) {
        if self.is_live {
            let _ = write!(self.stderr, "\r{line}\x1b[K");
            let _ = self.stderr.flush();
        }
    }

    /// Takes away the line that is passing.
    pub(crate) fn clear_passing(&mut self) {
        self.passing("");
        if self.is_live {
            let _ = write!(self.stderr, "\r");
        }
    }

    /// A bar over `bytes` of work, where somebody watches; nothing must be written until it is cleared.
    pub(crate) fn bar(&self, what: &str, bytes: u64) -> ProgressBar {
        let target = if self.is_live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(bytes), target);
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.with_message(what.to_owned())
    }

    /// Tells of something that doesn't keep the command from its result.
    pub(crate) fn warning(&mut self, message: &str) {
        self.progress(&format!("{} {message}", open("warning:")));
    }

    /// Tells why there is no result.
    pub(crate) fn error(&mut self, error: &anyhow::Error) {
        self.clear_passing();
        let text = telemetry::chain(error.as_ref());
        self.progress(&format!("{} {text}", bad("error:")));
        if let Some(hint) = hint(&text) {
            self.progress(&format!("{} {hint}", open("help:")));
        }
    }
}

/// What to do about the commonest trouble.
fn hint(error: &str) -> Option<&'static str> {
    let error = error.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
    if says(&["the database can't be reached", "the database refuses", "the database offers no tls"]) {
        Some("look at what tells where the database is, `DATABASE_URL` or the secret, and whether it is up")
    } else if says(&["expiredtoken", "token has expired", "session has expired", "token is expired"]) {
        Some("the AWS session is over; log in again, such as by `aws sso login`")
    } else if says(&["credentials provider", "no credentials", "credential provider", "loading credentials"]) {
        Some("no AWS credentials were found; pass `--profile`, or log in as for the AWS CLI")
    } else if says(&["a region must be set", "missing region", "no region"]) {
        Some("pass `--region`, or set it as for the AWS CLI")
    } else if says(&["accessdenied", "not authorized to perform"]) {
        Some(
            "these credentials may not do that; the installation's CiRole publishes, PromoterRole and GitHubPromoterRole promote, ApproverRole approves, AuditorRole reads",
        )
    } else if says(&["connection refused", "dns error", "io error", "timeout", "connect error"]) {
        Some("the endpoint could not be reached; look at the network, `--endpoint-url` and `--region`")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_trouble_comes_with_what_to_do() {
        let says = |error, word| assert!(hint(error).unwrap().contains(word), "{error}: {:?}", hint(error));
        says("could not list: AccessDenied: Access Denied", "PromoterRole");
        says("dispatch failure: io error: client error (Connect): tcp connect error: Connection refused", "endpoint");
        says("ExpiredToken: The provided token has expired", "log in again");
        says("no credentials in the property bag", "--profile");
        says("the database can't be reached: connection to server failed: Connection refused", "DATABASE_URL");
        assert_eq!(hint("the record `stages/uat/bank-kyc.json` is not valid"), None);
    }
}
