//! The bytes that cdk-assets would upload, written by the repository's own cdk-assets.
//!
//! An asset's key is a digest of names and contents, and leaves permissions out, but its ZIP has them: of one key there
//! are as many ZIPs as there are umasks. And cdk-assets takes a ZIP that lies in the assembly's `.cache`, whatever has
//! become of the folder since. So it works on a copy of the assets whose permissions are always the same.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, anyhow};
use serde_json::{Map, json};

use super::{Packaging, Source};
use crate::exit::Misuse;

/// The script that runs cdk-assets, whose usage it tells itself.
const SCRIPT: &str = include_str!("archive.cjs");

/// Permissions of what a ZIP is made of: Lambda reads a bundle as another user.
pub(super) mod mode {
    pub(in crate::assembly) const FILE: u32 = 0o644;
    pub(in crate::assembly) const PROGRAM: u32 = 0o755;
}

/// The archives of assets.
#[derive(Debug)]
pub(crate) struct Archives {
    /// The package that wrote ZIPs, with its version; none where none was to be written.
    pub(crate) written_by: Option<String>,
    /// The archive of each source, in the same order.
    pub(crate) files: Vec<PathBuf>,
}

/// Writes the archive of each source into `work`; a file that is taken as it is stays where it lies. `from` is where
/// cdk-assets is looked for, upwards.
///
/// # Errors
/// Where a source can't be copied, Node or cdk-assets is missing, or it fails.
pub(crate) fn archive(sources: &[Source], schema_version: &str, from: &Path, work: &Path) -> anyhow::Result<Archives> {
    let script = work.join("archive.cjs");
    fs::write(&script, SCRIPT).context("the script that runs cdk-assets can't be written")?;
    let zipped: Vec<(usize, &Source)> =
        sources.iter().enumerate().filter(|(_, it)| it.packaging == Packaging::Zip).collect();
    // cdk-assets zips one after the other, so as many of it run as there are processors.
    let runs = thread::available_parallelism().map_or(1, usize::from).min(zipped.len());
    let shares: Vec<Vec<_>> = (0..runs).map(|run| zipped.iter().skip(run).step_by(runs).copied().collect()).collect();
    let written: anyhow::Result<Vec<(String, Vec<_>)>> = thread::scope(|scope| {
        let running: Vec<_> = shares
            .iter()
            .enumerate()
            .map(|(run, share)| {
                let (script, work) = (&script, work.join(run.to_string()));
                scope.spawn(move || zip(share, schema_version, script, from, &work))
            })
            .collect();
        running.into_iter().map(|it| it.join().unwrap_or_else(|_| Err(anyhow!("zipping failed")))).collect()
    });
    let mut files: Vec<PathBuf> = sources.iter().map(|it| it.path.clone()).collect();
    let mut written_by = None;
    for (by, archives) in written? {
        written_by = Some(by);
        for (index, archive) in archives {
            if let Some(file) = files.get_mut(index) {
                *file = archive;
            }
        }
    }
    Ok(Archives { written_by, files })
}

/// Has cdk-assets zip these sources in a folder; gives what it says of itself, and where each archive is.
fn zip(
    sources: &[(usize, &Source)],
    schema_version: &str,
    script: &Path,
    from: &Path,
    work: &Path,
) -> anyhow::Result<(String, Vec<(usize, PathBuf)>)> {
    let (assets, out) = (work.join("assets"), work.join("archives"));
    let mut listed = Map::new();
    for folder in [&assets, &out] {
        fs::create_dir_all(folder).with_context(|| format!("`{}` can't be made", folder.display()))?;
    }
    for (index, Source { path, packaging, .. }) in sources {
        let name = index.to_string();
        let copied = copy(path, &assets.join(&name), &mut Vec::new()).map_err(Misuse)?;
        if copied == 0 {
            return Err(Misuse(format!("`{}` holds no file: build it again", path.display())).into());
        }
        let destination = json!({"bucketName": "archives", "objectKey": name});
        let source = json!({"path": name, "packaging": packaging});
        listed.insert(name, json!({"source": source, "destinations": {"file": destination}}));
    }
    let manifest = json!({"version": schema_version, "files": listed, "dockerImages": {}});
    fs::write(assets.join("assets.json"), manifest.to_string()).context("the assets can't be listed")?;
    let written_by = run(script, &[from, &assets, &out])?;
    let mut files = Vec::new();
    for (index, source) in sources {
        let file = out.join(index.to_string());
        let is_there = file.is_file();
        anyhow::ensure!(
            is_there,
            "{written_by} wrote no archive of `{}`: run `cdk-assets publish`",
            source.path.display()
        );
        files.push((*index, file));
    }
    Ok((written_by, files))
}

/// Runs the script; gives what it says of itself.
fn run(script: &Path, arguments: &[&Path]) -> anyhow::Result<String> {
    let ran = Command::new("node").arg(script).args(arguments).stdin(Stdio::null()).output();
    let ran = ran.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow!("`node` is not on the PATH: install Node.js, which runs cdk-assets"),
        _ => anyhow!("`node` can't be run: {error}"),
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    anyhow::ensure!(ran.status.success(), "the assets can't be zipped: {}", text(&ran.stderr));
    Ok(text(&ran.stdout))
}

/// Copies a file or a folder, links followed as cdk-assets follows them, with permissions that are always the same. Gives
/// the number of files; `within` are the folders that it is in.
fn copy(from: &Path, to: &Path, within: &mut Vec<PathBuf>) -> Result<u64, String> {
    let unreadable = |error: io::Error| format!("`{}` can't be read: {error}", from.display());
    let unwritable = |error: io::Error| format!("`{}` can't be copied: {error}", from.display());
    let metadata = from.metadata().map_err(unreadable)?;
    if metadata.is_file() {
        fs::copy(from, to).map_err(unwritable)?;
        pin(&metadata, to).map_err(unwritable)?;
        return Ok(1);
    }
    if !metadata.is_dir() {
        return Err(format!("`{}` is neither a file nor a folder: take it out of the bundle", from.display()));
    }
    let real = from.canonicalize().map_err(unreadable)?;
    if within.contains(&real) {
        return Err(format!("`{}` leads into a folder that it is in: take the link out of the bundle", from.display()));
    }
    within.push(real);
    fs::create_dir(to).map_err(unwritable)?;
    let mut files = 0;
    for entry in fs::read_dir(from).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        files += copy(&entry.path(), &to.join(entry.file_name()), within)?;
    }
    within.pop();
    #[cfg(unix)]
    set(to, mode::PROGRAM).map_err(unwritable)?;
    Ok(files)
}

/// Gives the copy of a file the permissions that it always has.
#[cfg(unix)]
fn pin(original: &fs::Metadata, copy: &Path) -> io::Result<()> {
    set(copy, if is_program(original) { mode::PROGRAM } else { mode::FILE })
}

/// Whether its owner may execute a file.
#[cfg(unix)]
pub(super) fn is_program(file: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    const OWNER_MAY_EXECUTE: u32 = 0o100;
    file.permissions().mode() & OWNER_MAY_EXECUTE != 0
}

/// Where there are no such permissions, no file is known to be a program.
#[cfg(not(unix))]
pub(super) fn is_program(_file: &fs::Metadata) -> bool {
    false
}

#[cfg(unix)]
fn set(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode))
}

/// Where there are no such permissions, cdk-assets takes the same for each file.
#[cfg(not(unix))]
fn pin(_original: &fs::Metadata, _copy: &Path) -> io::Result<()> {
    Ok(())
}
