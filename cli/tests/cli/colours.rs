//! Colours are for people who look at a terminal, and nobody else.

use std::process::{Command, Stdio};

use crate::common::{Build, gatekeeper, gatekeeper_with};

const ESCAPE: char = '\u{1b}';

/// What somebody at a terminal sees, of a folder's verdict and of an error.
fn at_a_terminal(variables: &[(&str, &str)]) -> [String; 2] {
    let build = Build::built();
    let own = env!("CARGO_BIN_EXE_gatekeeper");
    [format!("'{own}' check '{}'", build.folder().display()), format!("'{own}' check /no/such/folder")].map(|line| {
        let output = Command::new("script")
            .args(["--quiet", "--command", &line, "/dev/null"])
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("TERM", "xterm-256color"), ("SHELL", "/bin/sh")])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    })
}

#[test]
fn a_terminal_sees_colours() {
    let [verdict, error] = at_a_terminal(&[]);
    assert!(verdict.contains("\u{1b}[1m\u{1b}[32mbuilt\u{1b}[0m"), "{verdict:?}");
    assert!(error.contains("error:") && error.contains(ESCAPE), "{error:?}");
}

#[test]
fn no_color_and_a_dumb_terminal_are_obeyed() {
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let [verdict, error] = at_a_terminal(&[variable]);
        assert!(verdict.contains("built") && !verdict.contains(ESCAPE), "{verdict:?}");
        assert!(error.contains("error:") && !error.contains(ESCAPE), "{error:?}");
    }
}

#[test]
fn a_pipe_sees_none_unless_it_is_asked_for() {
    let build = Build::built();
    let folder = build.folder().to_str().unwrap();
    let in_a_terminals_environment = [("TERM", "xterm-256color")];
    for arguments in
        [&["check", folder] as &[_], &["check", "/no/such/folder"], &["check", folder, "--output", "json"], &["--help"]]
    {
        let run = gatekeeper_with(arguments, &in_a_terminals_environment);
        assert!(!format!("{}{}", run.stdout, run.stderr).contains(ESCAPE), "{arguments:?}");
    }
    let forced = gatekeeper_with(&["check", folder], &[("CLICOLOR_FORCE", "1")]);
    assert!(forced.stdout.contains(ESCAPE), "{}", forced.stdout);
    assert_eq!(forced.stdout.lines().count(), gatekeeper(&["check", folder]).stdout.lines().count());
}
