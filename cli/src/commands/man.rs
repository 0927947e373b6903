//! `gatekeeper man`: a manual page of each command, made of what `--help` says.

use std::{fs, path::PathBuf};

use clap::{Command, CommandFactory as _};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};
use serde_json::json;

use crate::{
    Cli,
    exit::{Answer, Misuse},
    output::Output,
    whole_file,
};

const EXAMPLES: &str = "\
Examples:
  gatekeeper man | man --local-file -
  gatekeeper man --into ~/.local/share/man/man1 && man gatekeeper-publish";

/// Prints the manual page, or writes the pages of all commands into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder that the pages are written into; made where it is missing
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let mut command = Cli::command();
    command.build();
    let Some(folder) = &args.into else {
        let page = String::from_utf8(page(&command)?)?;
        output.result(&json!({"page": page}), &page)?;
        return Ok(Answer::Yes);
    };
    fs::create_dir_all(folder)
        .map_err(|error| Misuse(format!("the folder `{}` can't be made: {error}", folder.display())))?;
    let mut files = Vec::new();
    for command in family(&command) {
        let file = folder.join(format!("{}.1", name(command)));
        whole_file::write(&file, &page(command)?)?;
        files.push(file);
    }
    let lines: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    output.result(&json!({"files": files}), &lines.join("\n"))?;
    Ok(Answer::Yes)
}

/// A command and everything below it.
fn family(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().flat_map(family);
    std::iter::once(command).chain(below).collect()
}

/// `gatekeeper-flyway-validate`
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .title(name(command).to_uppercase())
        .source(concat!("gatekeeper ", env!("CARGO_PKG_VERSION")))
        .manual("artefact-gatekeeper");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    man.render_options_section(&mut page)?;
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for (heading, lines) in sections(&notes) {
        let mut roff = Roff::new();
        // As it stands: a filled example is none.
        roff.control("SH", [heading]).control("nf", []);
        for line in lines {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
        roff.to_writer(&mut page)?;
    }
    Ok(page)
}

/// The notes of a command by the headings that manual pages have for them.
fn sections(notes: &str) -> Vec<(&'static str, Vec<&str>)> {
    let mut sections = vec![("NOTES", Vec::new())];
    for line in notes.lines() {
        match line {
            "Exit codes:" => sections.push(("EXIT STATUS", Vec::new())),
            "Examples:" => sections.push(("EXAMPLES", Vec::new())),
            line => {
                // What isn't indented any more is no part of a list.
                let list_ended = sections.len() > 1 && !line.is_empty() && !line.starts_with(' ');
                if list_ended && sections.last().is_some_and(|(heading, _)| *heading != "NOTES") {
                    sections.push(("NOTES", Vec::new()));
                }
                if let Some((_, lines)) = sections.last_mut() {
                    lines.push(line);
                }
            }
        }
    }
    for (_, lines) in &mut sections {
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
    }
    sections.retain(|(_, lines)| !lines.is_empty());
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_lie_where_readers_of_manual_pages_look_for_them() {
        let notes = "It waits.\n\nExit codes:\n  0  yes\n  1  no\n\nWith 1 it tells why.\n\nExamples:\n  gatekeeper x";
        assert_eq!(
            sections(notes),
            [
                ("NOTES", vec!["It waits."]),
                ("EXIT STATUS", vec!["  0  yes", "  1  no"]),
                ("NOTES", vec!["With 1 it tells why."]),
                ("EXAMPLES", vec!["  gatekeeper x"]),
            ]
        );
    }

    #[test]
    fn there_is_a_page_of_each_command() {
        let mut command = Cli::command();
        command.build();
        let names: Vec<_> = family(&command).into_iter().map(name).collect();
        for expected in ["gatekeeper", "gatekeeper-publish", "gatekeeper-flyway", "gatekeeper-flyway-validate"] {
            assert!(names.contains(&expected), "{names:?}");
        }
    }
}
