//! `gatekeeper man` and `gatekeeper completions`: what is made of the definition of the arguments.

use std::{collections::BTreeSet, fs, process::Command};

use crate::{
    common::{Run, gatekeeper},
    help::COMMANDS,
};

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).filter(|word| word.starts_with("--")).collect()
}

#[test]
fn every_command_has_a_page_that_tells_all_of_its_help() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("share/man/man1");
    let run = gatekeeper(&["man", "--into", into.to_str().unwrap()]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(run.stdout.lines().count(), COMMANDS.len());
    for command in COMMANDS {
        let parts: Vec<_> = std::iter::once("gatekeeper").chain(command.split_whitespace()).collect();
        let page = fs::read_to_string(into.join(format!("{}.1", parts.join("-")))).unwrap();
        let page = page.replace("\\-", "-").replace("\\fB", " ").replace("\\fR", " ");
        assert!(page.contains(&format!(".TH {} 1", parts.join("-").to_uppercase())), "{page}");
        assert!(page.contains(".SH EXAMPLES\n.nf\n"), "{page}");
        let help = gatekeeper(&[&parts[1..], &["--help"]].concat()).stdout;
        let told = words(&page);
        let missing: Vec<_> = words(&help).into_iter().filter(|option| !told.contains(option)).collect();
        assert_eq!(missing, [""; 0], "{command}");
    }
    assert_eq!(fs::read_dir(into).unwrap().count(), COMMANDS.len());
}

#[test]
fn without_a_folder_it_is_the_main_page() {
    let run = gatekeeper(&["man"]);
    assert!(run.stdout.contains(".TH GATEKEEPER 1"), "{}", run.stdout);
    assert!(
        run.stdout.contains("gatekeeper\\-publish(1)") && run.stdout.contains(".SH \"EXIT STATUS\""),
        "{}",
        run.stdout
    );
}

#[test]
fn a_folder_that_cant_be_made_is_wrong_use() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let run = gatekeeper(&["man", "--into", file.path().join("man1").to_str().unwrap()]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
    assert!(run.stderr.contains("can't be made"), "{}", run.stderr);
}

fn completions(shell: &str) -> Run {
    let run = gatekeeper(&["completions", shell]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{shell}");
    run
}

#[test]
fn bash_completes_commands_options_and_values() {
    let script = completions("bash").stdout;
    let complete = |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
        let asked = format!(
            "{script}\nCOMP_WORDS=({}) COMP_CWORD={}\n_gatekeeper gatekeeper '{last}' '{before}'\nprintf '%s ' \"${{COMPREPLY[@]}}\"",
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len() - 1
        );
        let output = Command::new("bash").args(["--norc", "-c", &asked]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("gatekeeper pro"), "promote");
    assert_eq!(complete("gatekeeper flyway v"), "validate");
    assert_eq!(complete("gatekeeper handoffs pull --exp"), "--expect");
    assert_eq!(complete("gatekeeper handoffs pull --expect "), "built deployed revoked rolled-back");
    assert_eq!(complete("gatekeeper run d"), "deploy dcm-plan dcm-deploy dbt-build");
}

#[test]
fn the_other_shells_are_told_of_every_command() {
    for shell in ["zsh", "fish", "powershell"] {
        let script = completions(shell).stdout;
        for command in COMMANDS.iter().flat_map(|command| command.split_whitespace()) {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    let run = gatekeeper(&["completions", "csh"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
}
