//! Programs of this machine that some commands need.

use std::{io, process::Command};

use super::Line;

/// A program, how it tells its version, and who needs it.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("git", "--version", "`gatekeeper publish` asks it who wrote the commit"),
    ("flyway", "--version", "`gatekeeper flyway validate` runs it; only repositories with migrations need it"),
    ("pg_dump", "--version", "`gatekeeper snapshot take` runs it; only repositories with migrations need it"),
];

pub(super) fn all() -> Vec<Line> {
    PROGRAMS.iter().map(|(program, flag, purpose)| program_line(program, flag, purpose)).collect()
}

fn program_line(program: &str, flag: &str, purpose: &str) -> Line {
    let name = format!("{program} of this machine");
    match Command::new(program).arg(flag).output() {
        Ok(output) if output.status.success() => Line::ok(name, version(&output.stdout)),
        Ok(output) => Line::warn(name, format!("`{program} {flag}` ended with {}", output.status), purpose),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Line::warn(name, "is not installed here", purpose),
        Err(error) => Line::warn(name, format!("can't be run: {error}"), purpose),
    }
}

/// The first line that tells a version.
fn version(stdout: &[u8]) -> String {
    let text = String::from_utf8_lossy(stdout);
    let told = text.lines().map(str::trim).find(|line| line.contains(|c: char| c.is_ascii_digit()));
    told.unwrap_or("tells no version").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_tells_its_version_or_is_told_as_missing() {
        assert_eq!(
            version(b"\nFlyway Community Edition 11.1.0 by Redgate\nmore"),
            "Flyway Community Edition 11.1.0 by Redgate"
        );
        let missing = program_line("no-such-program-anywhere", "--version", "nobody needs it");
        assert_eq!(missing.found, "is not installed here");
        assert!(program_line("git", "--version", "").what_to_do.is_none());
    }
}
