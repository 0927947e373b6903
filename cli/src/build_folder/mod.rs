//! A build folder: its files in the layout of the artefact store (CONTRACT §2), their digests, and the manifest that
//! they make.

pub(crate) mod code_of;
mod configuration;
pub(crate) mod draft;
pub(crate) mod figures;
pub(crate) mod recognise;
pub(crate) mod step;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    thread,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gatekeeper_model::{ids::Sha256, manifest, store_key::ArtefactPath};
use gatekeeper_readers::template;
use serde_json::{Map, Value};

use crate::exit::Misuse;

/// How much of a file is in memory at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// A file of a build folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuildFile {
    /// Where it lies in the commit's folder of the store.
    pub(crate) path: ArtefactPath,
    /// Where it is.
    pub(crate) file: PathBuf,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Its digest.
    pub(crate) sha256: Sha256,
}

impl BuildFile {
    /// Whether it is the build's own manifest, which is never uploaded as it is.
    pub(crate) fn is_manifest(&self) -> bool {
        self.path == ArtefactPath::Manifest
    }
}

/// Every file below `root`, by its place in the store.
///
/// # Errors
/// Everything that has no place there: other paths, hidden files, links, names that are not UTF-8.
pub(crate) fn walk(root: &Path) -> Result<Vec<(ArtefactPath, PathBuf)>, Misuse> {
    let unreadable = |path: &Path, error: &io::Error| Misuse(format!("`{}` can't be read: {error}", path.display()));
    let (mut found, mut refused, mut folders) = (Vec::new(), Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))? {
            let entry = entry.map_err(|error| unreadable(&folder, &error))?;
            let file = entry.path();
            let kind = entry.file_type().map_err(|error| unreadable(&file, &error))?;
            let shown = file.strip_prefix(root).unwrap_or(&file);
            let Some(name) = shown.to_str().map(|it| it.replace(std::path::MAIN_SEPARATOR, "/")) else {
                refused.push(format!("`{}` has a name that is not UTF-8", shown.display()));
                continue;
            };
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                refused.push(format!("`{name}` is hidden"));
            } else if kind.is_dir() {
                folders.push(file);
            } else if !kind.is_file() {
                refused.push(format!("`{name}` is not a file of its own: put a copy there instead of a link"));
            } else if let Some(path) = ArtefactPath::parse(&name) {
                found.push((path, file));
            } else {
                refused.push(format!("`{name}` is outside the layout of the artefact store"));
            }
        }
    }
    if !refused.is_empty() {
        refused.sort();
        let (root, refused) = (root.display(), refused.join("\n  "));
        return Err(Misuse(format!(
            "`{root}` is no commit's folder\n  {refused}\nremove what is no artefact, or write it elsewhere"
        )));
    }
    found.sort();
    Ok(found)
}

/// Reads every file for its digest and size, as many at once as there are processors; `read` hears of the bytes.
///
/// # Errors
/// Where one can't be read.
pub(crate) async fn measure(
    files: Vec<(ArtefactPath, PathBuf)>,
    read: impl Fn(u64) + Clone + Send + 'static,
) -> Result<Vec<BuildFile>, Misuse> {
    let at_once = thread::available_parallelism().map_or(2, usize::from);
    let measured = stream::iter(files).map(|(path, file)| {
        let read = read.clone();
        async move {
            let source = file.clone();
            let hashed = tokio::task::spawn_blocking(move || hash(File::open(source)?, read));
            let (sha256, size) = hashed
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)))
                .map_err(|error| Misuse(format!("`{}` can't be read: {error}", file.display())))?;
            Ok(BuildFile { path, file, size, sha256 })
        }
    });
    measured.buffered(at_once).try_collect().await
}

/// The digest and the number of bytes that are read to the end; `read` hears of the bytes.
pub(crate) fn hash(mut bytes: impl io::Read, read: impl Fn(u64)) -> io::Result<(Sha256, u64)> {
    use sha2::Digest as _;
    let (mut hasher, mut size) = (sha2::Sha256::new(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = match bytes.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            length => length?,
        };
        match piece.get(..length) {
            None | Some([]) => return Ok((Sha256::from_bytes(hasher.finalize().into()), size)),
            Some(bytes) => {
                hasher.update(bytes);
                size += bytes.len() as u64;
                read(bytes.len() as u64);
            }
        }
    }
}

/// The folder's own `build-manifest.json`, as the build made it; nothing where there is none.
///
/// # Errors
/// Where it is no JSON object.
pub(crate) fn base(files: &[BuildFile]) -> Result<Map<String, Value>, Misuse> {
    let Some(file) = files.iter().find(|it| it.path == ArtefactPath::Manifest) else { return Ok(Map::new()) };
    read_object(&file.file)
}

/// Reads a JSON object.
///
/// # Errors
/// Where the file can't be read, or holds something else.
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>, Misuse> {
    serde_json::from_slice(&read(path)?)
        .map_err(|error| Misuse(format!("`{}` is not a JSON object: {error}", path.display())))
}

/// Reads a small file, no larger than a manifest.
///
/// # Errors
/// Where it can't be read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Misuse> {
    let unreadable = |error: String| Misuse(format!("`{}` can't be read: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    file.take(manifest::MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > manifest::MAX_BYTES {
        return Err(unreadable(format!("it is larger than {} bytes", manifest::MAX_BYTES)));
    }
    Ok(bytes)
}

/// What the contents of the folder's templates and reports tell.
///
/// # Errors
/// Where a report can't be read.
pub(crate) fn contents(files: &[BuildFile]) -> Result<draft::Contents, Misuse> {
    let mut formats = BTreeMap::new();
    for file in files.iter().filter(|file| matches!(file.path, ArtefactPath::Report(_))) {
        let format = recognise::format_of(&file.file)
            .map_err(|error| Misuse(format!("`{}` can't be read: {error}", file.file.display())))?;
        formats.extend(format.map(|format| (file.path.clone(), format)));
    }
    // What is too large or unreadable tells nothing, and the gate says why.
    let (mut functions, mut handed) = (Vec::new(), BTreeMap::new());
    for file in files.iter().filter(|file| file.size <= template::MAX_BYTES as u64) {
        if let (ArtefactPath::Template(module, stack), Ok(bytes)) = (&file.path, read(&file.file)) {
            functions.extend(code_of::functions(module, stack, &bytes));
            handed.extend(template::read(&bytes).map(|template| (stack.clone(), template.handed)));
        }
    }
    Ok(draft::Contents { functions, handed, formats })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for path in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "abc").unwrap();
        }
        root
    }

    #[tokio::test]
    async fn every_file_has_its_place_size_and_digest() {
        let root = folder(&[
            "build-manifest.json",
            "reports/unit.xml",
            "modules/MOD-012/schema/payments/migrations/2026/V1__x.sql",
        ]);
        let files = measure(walk(root.path()).unwrap(), |_| {}).await.unwrap();
        let shown: Vec<_> = files.iter().map(|it| (it.path.to_string(), it.size)).collect();
        let paths =
            ["build-manifest.json", "reports/unit.xml", "modules/MOD-012/schema/payments/migrations/2026/V1__x.sql"];
        assert_eq!(shown, paths.map(|path| (path.to_owned(), 3)));
        assert!(files.iter().all(|it| it.sha256 == Sha256::of(b"abc")));
    }

    #[cfg(unix)]
    #[test]
    fn what_has_no_place_is_refused_all_of_it_by_name() {
        let root =
            folder(&["modules/MOD-012/notes.txt", ".env", "modules/.DS_Store", "modules/MOD-012/functions/a.zip"]);
        std::os::unix::fs::symlink("a.zip", root.path().join("modules/MOD-012/functions/b.zip")).unwrap();
        let refused = walk(root.path()).unwrap_err().to_string();
        insta::assert_snapshot!(refused.replace(root.path().to_str().unwrap(), "DIR"), @r"
        `DIR` is no commit's folder
          `.env` is hidden
          `modules/.DS_Store` is hidden
          `modules/MOD-012/functions/b.zip` is not a file of its own: put a copy there instead of a link
          `modules/MOD-012/notes.txt` is outside the layout of the artefact store
        remove what is no artefact, or write it elsewhere
        ");
    }

    #[tokio::test]
    async fn large_files_are_read_in_pieces_and_told_of() {
        let bytes = vec![7; PIECE_BYTES * 2 + 1];
        let root = folder(&[]);
        fs::create_dir(root.path().join("reports")).unwrap();
        fs::write(root.path().join("reports/large.xml"), &bytes).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let files = measure(walk(root.path()).unwrap(), move |length| sender.send(length).unwrap()).await.unwrap();
        assert_eq!((files[0].size, files[0].sha256), (bytes.len() as u64, Sha256::of(&bytes)));
        assert_eq!(receiver.iter().sum::<u64>(), bytes.len() as u64);
    }
}
