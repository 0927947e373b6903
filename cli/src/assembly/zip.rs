//! ZIPs of folders that always have the same bytes for the same files.

use std::{
    fs::{self, File},
    io::{self, BufWriter},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::Context as _;
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::archive::{is_program, mode};
use crate::exit::Misuse;

/// Zips each folder into a file of `work`, several at a time. Gives the files, in the same order.
pub(super) fn all(folders: &[&Path], work: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let files: Vec<PathBuf> = (0..folders.len()).map(|index| work.join(format!("{index}.zip"))).collect();
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let work = || -> anyhow::Result<()> {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some((folder, file)) = folders.get(index).zip(files.get(index)) else { return Ok(()) };
                one(folder, file)?;
            }
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|it| it.join().unwrap_or_else(|_| Err(anyhow::anyhow!("zipping failed"))))
    })?;
    Ok(files)
}

fn one(folder: &Path, file: &Path) -> anyhow::Result<()> {
    let failed = || format!("`{}` can't be zipped", folder.display());
    let mut entries = Vec::new();
    list(folder, "", &mut Vec::new(), &mut entries).map_err(Misuse)?;
    if entries.is_empty() {
        return Err(Misuse(format!("`{}` holds no file: build it again", folder.display())).into());
    }
    entries.sort();
    let mut archive = ZipWriter::new(BufWriter::new(File::create(file).with_context(failed)?));
    for (name, path) in entries {
        let mut from = File::open(&path).with_context(failed)?;
        let metadata = from.metadata().with_context(failed)?;
        let permissions = if is_program(&metadata) { mode::PROGRAM } else { mode::FILE };
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .large_file(metadata.len() > u64::from(u32::MAX))
            .unix_permissions(permissions);
        archive.start_file(name, options).with_context(failed)?;
        io::copy(&mut from, &mut archive).with_context(failed)?;
    }
    archive.finish().with_context(failed)?;
    Ok(())
}

/// The files below a folder with their names in the ZIP, links followed; `within` are the folders that it is in.
fn list(
    folder: &Path,
    prefix: &str,
    within: &mut Vec<PathBuf>,
    entries: &mut Vec<(String, PathBuf)>,
) -> Result<(), String> {
    let unreadable = |error: io::Error| format!("`{}` can't be read: {error}", folder.display());
    let real = folder.canonicalize().map_err(unreadable)?;
    if within.contains(&real) {
        return Err(format!("`{}` leads into a folder that it is in: take the link out", folder.display()));
    }
    within.push(real);
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let metadata = path.metadata().map_err(|error| format!("`{}` can't be read: {error}", path.display()))?;
        let Some(name) = path.file_name().and_then(|it| it.to_str()) else {
            return Err(format!("`{}` has a name that is no UTF-8: rename it", path.display()));
        };
        let name = format!("{prefix}{name}");
        if metadata.is_dir() {
            list(&path, &format!("{name}/"), within, entries)?;
        } else if metadata.is_file() {
            entries.push((name, path));
        } else {
            return Err(format!("`{}` is neither a file nor a folder: take it out", path.display()));
        }
    }
    within.pop();
    Ok(())
}
