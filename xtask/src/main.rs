//! Chores that need the types.
//!
//! `generate` writes the files that are generated from the types; `generate --check` names those that are stale.

mod generated;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser;

/// Chores that need the project's types
#[derive(Debug, Parser)]
enum Chore {
    /// Writes the JSON Schemas and the table of reason codes
    Generate {
        /// Write nothing; name each stale file and end with 1
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let Chore::Generate { check } = Chore::parse();
    let mut code = ExitCode::SUCCESS;
    for (path, text) in stale()? {
        let file = root().join(path);
        if check {
            eprintln!("error: {path} is stale: run `make schema`");
            code = ExitCode::FAILURE;
        } else {
            fs::write(&file, text).with_context(|| format!("`{path}` can't be written"))?;
            eprintln!("wrote {path}");
        }
    }
    Ok(code)
}

/// The generated files that differ from what is committed, each with the text that it should have.
fn stale() -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut files = generated::files()?;
    files.retain(|(path, text)| fs::read_to_string(root().join(path)).ok().as_ref() != Some(text));
    Ok(files)
}

/// The project's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_files_are_those_of_the_types() {
        let stale: Vec<_> = stale().unwrap().into_iter().map(|(path, _)| path).collect();
        assert!(stale.is_empty(), "stale: {stale:?}; run `make schema`");
    }
}
