//! A build folder as if it were a commit's folder in the bucket: one version of everything, no tags.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use gatekeeper_model::{
    ids::{Commit, Sha256, VersionId},
    store_key::ArtefactPath,
};
use gatekeeper_store::{Body, Head, Listed, ReadStore, Retention, StoreError, Tags};

use crate::build_folder::BuildFile;

/// The version that every file of a folder is.
const VERSION: &str = "local";

/// How much of a file is in memory at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// A folder that holds what would lie in a commit's folder of the bucket.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    prefix: String,
    /// The manifest that is judged in place of the folder's own.
    manifest: Option<Vec<u8>>,
    /// The digests that are known already, by key.
    digests: BTreeMap<String, Sha256>,
    /// Files that lie elsewhere and belong to the commit too, by key.
    elsewhere: BTreeMap<String, PathBuf>,
}

impl Folder {
    /// The folder at `root`, as `commit`'s.
    ///
    /// # Errors
    /// Where there is no such folder.
    pub(crate) fn open(root: &Path, commit: &Commit) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if root.is_dir() {
            Ok(Self {
                root,
                prefix: commit.prefix(),
                manifest: None,
                digests: BTreeMap::new(),
                elsewhere: BTreeMap::new(),
            })
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    /// The folder as it will be published: with this manifest, and files that are measured already.
    pub(crate) fn with(mut self, manifest: Vec<u8>, files: &[BuildFile]) -> Self {
        let outside = files.iter().filter(|file| matches!(file.path, ArtefactPath::Provenance(_)));
        self.elsewhere = outside.map(|file| (format!("{}{}", self.prefix, file.path), file.file.clone())).collect();
        let files = files.iter().filter(|file| !file.is_manifest());
        self.digests = files.map(|file| (format!("{}{}", self.prefix, file.path), file.sha256)).collect();
        self.manifest = Some(manifest);
        self
    }

    /// The manifest in place of the folder's own, where `key` is the manifest's.
    fn manifest(&self, key: &str) -> Option<&Vec<u8>> {
        self.manifest.as_ref().filter(|_| key == self.manifest_key())
    }

    fn manifest_key(&self) -> String {
        format!("{}{}", self.prefix, ArtefactPath::Manifest)
    }

    /// The file behind a key; `None` where no file has the key, or where it lies outside of the folder.
    fn file(&self, key: &str) -> io::Result<Option<PathBuf>> {
        if let Some(file) = self.elsewhere.get(key) {
            return Ok(Some(file.clone()));
        }
        let Some(path) = key.strip_prefix(&self.prefix) else { return Ok(None) };
        match self.root.join(path).canonicalize() {
            Ok(file) if !file.starts_with(&self.root) => Err(leaves(path)),
            Ok(file) if file.is_file() => Ok(Some(file)),
            Ok(_) => Ok(None),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn failed(&self, operation: &'static str, key: &str, source: io::Error) -> StoreError {
        StoreError {
            operation,
            bucket: self.root.display().to_string(),
            key: key.strip_prefix(&self.prefix).unwrap_or(key).to_owned(),
            source: source.into(),
        }
    }

    /// Every file under the folder, links to files within it among them.
    fn walk(&self, folder: &Path, listed: &mut Vec<Listed>) -> Result<(), StoreError> {
        let shown = folder.strip_prefix(&self.root).unwrap_or(folder).display().to_string();
        let failed = |error| self.failed("listing", &shown, error);
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(name) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) else {
                let error = io::Error::new(io::ErrorKind::InvalidFilename, "a file's name is not UTF-8");
                return Err(self.failed("listing", &path.display().to_string(), error));
            };
            let name = name.replace(std::path::MAIN_SEPARATOR, "/");
            let failed = |error| self.failed("listing", &name, error);
            let kind = fs::symlink_metadata(&path).map_err(failed)?.file_type();
            if kind.is_dir() {
                self.walk(&path, listed)?;
                continue;
            }
            let target = path.canonicalize().map_err(failed)?;
            let metadata = target.metadata().map_err(failed)?;
            if !target.starts_with(&self.root) {
                return Err(failed(leaves(&name)));
            }
            if !metadata.is_file() {
                let error = io::Error::new(io::ErrorKind::InvalidInput, "it is neither a file nor a folder of its own");
                return Err(failed(error));
            }
            listed.push(Listed {
                key: format!("{}{name}", self.prefix),
                version_id: VERSION.into(),
                size: metadata.len(),
            });
        }
        Ok(())
    }
}

fn leaves(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("`{path}` is a link that leaves the folder"))
}

impl ReadStore for Folder {
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = Vec::new();
        self.walk(&self.root, &mut listed)?;
        if let Some(manifest) = &self.manifest {
            let key = self.manifest_key();
            listed.retain(|file| file.key != key);
            listed.push(Listed { key, version_id: VERSION.into(), size: manifest.len() as u64 });
        }
        for (key, file) in &self.elsewhere {
            listed.retain(|file| file.key != *key);
            let size = file.metadata().map_err(|error| self.failed("looking at", key, error))?.len();
            listed.push(Listed { key: key.clone(), version_id: VERSION.into(), size });
        }
        listed.retain(|file| file.key.starts_with(prefix));
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }

    async fn first(&self, prefix: &str) -> Result<Option<String>, StoreError> {
        Ok(self.list(prefix).await?.into_iter().next().map(|first| first.key))
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let listed = self.list(prefix).await?;
        let folders = listed.iter().filter_map(|it| Some(it.key.strip_prefix(prefix)?.split_once('/')?.0.to_owned()));
        Ok(folders.collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn head(&self, key: &str, version_id: Option<&VersionId>) -> Result<Option<Head>, StoreError> {
        let failed = |error| self.failed("looking at", key, error);
        if let Some(manifest) = self.manifest(key).filter(|_| is_local(version_id)) {
            let size = manifest.len() as u64;
            return Ok(Some(Head {
                version_id: VERSION.into(),
                etag: "".into(),
                size,
                sha256: Some(Sha256::of(manifest)),
                tag_count: 0,
                retention: Retention::default(),
            }));
        }
        let Some(file) = self.file(key).map_err(failed)?.filter(|_| is_local(version_id)) else { return Ok(None) };
        let size = file.metadata().map_err(failed)?.len();
        // Where it isn't known it is as after an upload in parts: whoever wants the digest streams the bytes.
        Ok(Some(Head {
            version_id: VERSION.into(),
            etag: "".into(),
            size,
            sha256: self.digests.get(key).copied(),
            tag_count: 0,
            retention: Retention::default(),
        }))
    }

    async fn get(&self, key: &str, version_id: Option<&VersionId>, max_bytes: u64) -> Result<Option<Body>, StoreError> {
        let failed = |error| self.failed("reading", key, error);
        if let Some(manifest) = self.manifest(key).filter(|manifest| manifest.len() as u64 <= max_bytes) {
            let (version_id, etag) = (VERSION.into(), VERSION.into());
            return Ok(Some(Body { bytes: manifest.clone(), version_id, etag }));
        }
        let Some(file) = self.file(key).map_err(failed)?.filter(|_| is_local(version_id)) else { return Ok(None) };
        let mut bytes = Vec::new();
        File::open(file).and_then(|file| file.take(max_bytes + 1).read_to_end(&mut bytes)).map_err(failed)?;
        if bytes.len() as u64 > max_bytes {
            let error = io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {max_bytes} bytes"));
            return Err(failed(error));
        }
        Ok(Some(Body { bytes, version_id: VERSION.into(), etag: VERSION.into() }))
    }

    async fn stream(
        &self,
        key: &str,
        version_id: &VersionId,
        sink: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<Option<usize>, StoreError> {
        let failed = |error| self.failed("reading", key, error);
        let file = self.file(key).map_err(failed)?.filter(|_| is_local(Some(version_id)));
        let Some(file) = file else { return Ok(None) };
        let mut file = File::open(file).map_err(failed)?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = match file.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(failed)?,
            };
            match piece.get(..read) {
                None | Some([]) => return Ok(Some(0)),
                Some(bytes) => sink(bytes).map_err(failed)?,
            }
        }
    }

    /// What is uploaded later is held against the same digest, so a file that changes meanwhile is not published.
    fn hashed_file(&self, key: &str, sha256: Sha256) -> io::Result<Option<File>> {
        match self.file(key)? {
            Some(file) if self.digests.get(key) == Some(&sha256) => File::open(file).map(Some),
            _ => Ok(None),
        }
    }

    async fn tags(&self, key: &str, version_id: &VersionId) -> Result<Option<Tags>, StoreError> {
        Ok(self.head(key, Some(version_id)).await?.map(|_| Tags::new()))
    }
}

fn is_local(version_id: Option<&VersionId>) -> bool {
    version_id.is_none_or(|version| version.as_str() == VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> Commit {
        let sha = "3f1c9a0b5d7e2468ace013579bdf02468ace1357".parse().unwrap();
        Commit { repo: "bank-payments".parse().unwrap(), sha }
    }

    fn key(path: &str) -> String {
        format!("{}{path}", commit().prefix())
    }

    fn folder(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Folder) {
        let root = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let folder = Folder::open(root.path(), &commit()).unwrap();
        (root, folder)
    }

    #[tokio::test]
    async fn files_are_objects_of_the_commit() {
        let (_root, folder) = folder(&[("reports/unit.xml", b"<x/>"), ("build-manifest.json", b"{}")]);
        let keys: Vec<_> = folder.list(&commit().prefix()).await.unwrap().into_iter().map(|it| it.key).collect();
        assert_eq!(keys, [key("build-manifest.json"), key("reports/unit.xml")]);
        let body = folder.get(&key("reports/unit.xml"), Some(&"local".into()), 4).await.unwrap().unwrap();
        assert_eq!(body.bytes, b"<x/>");
        assert!(folder.get(&key("reports/unit.xml"), None, 3).await.is_err(), "larger than allowed");
        assert_eq!(folder.get(&key("reports/unit.xml"), Some(&"v1".into()), 4).await.unwrap(), None);
        assert_eq!(folder.head(&key("reports/none.xml"), None).await.unwrap(), None);
        assert_eq!(folder.head(&key("reports"), None).await.unwrap(), None, "a folder is no object");
    }

    #[tokio::test]
    async fn a_file_is_streamed_whole_in_pieces() {
        let bytes = vec![7; PIECE_BYTES * 2 + 1];
        let (_root, folder) = folder(&[("reports/large.xml", &bytes)]);
        let (mut total, mut largest) = (0, 0);
        let mut sink = |piece: &[u8]| {
            total += piece.len();
            largest = largest.max(piece.len());
            Ok(())
        };
        assert!(folder.stream(&key("reports/large.xml"), &"local".into(), &mut sink).await.unwrap().is_some());
        assert_eq!((total, largest), (bytes.len(), PIECE_BYTES));
    }

    #[tokio::test]
    async fn a_manifest_stands_in_place_of_the_folders_own() {
        for files in [&[("build-manifest.json", b"{}" as &[u8])] as &[_], &[]] {
            let (_root, folder) = folder(files);
            let folder = folder.with(b"new".to_vec(), &[]);
            let key = key("build-manifest.json");
            let listed = folder.list(&commit().prefix()).await.unwrap();
            assert_eq!(listed.iter().map(|it| (it.key.as_str(), it.size)).collect::<Vec<_>>(), [(key.as_str(), 3)]);
            assert_eq!(folder.get(&key, Some(&VERSION.into()), 9).await.unwrap().unwrap().bytes, b"new");
            assert_eq!(folder.head(&key, None).await.unwrap().unwrap().sha256, Some(Sha256::of(b"new")));
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_inside_are_followed_and_those_that_leave_are_refused() {
        use std::os::unix::fs::symlink;

        let (root, folder) = folder(&[("reports/unit.xml", b"<x/>")]);
        symlink("unit.xml", root.path().join("reports/latest.xml")).unwrap();
        assert_eq!(folder.list(&commit().prefix()).await.unwrap().len(), 2);

        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"s").unwrap();
        symlink(outside.path().join("secret"), root.path().join("reports/secret.xml")).unwrap();
        for error in [
            folder.list(&commit().prefix()).await.unwrap_err(),
            folder.get(&key("reports/secret.xml"), None, 9).await.unwrap_err(),
            folder.get(&key("../../../../etc/passwd"), None, 9).await.unwrap_err(),
        ] {
            let source = error.source.to_string();
            assert!(source.ends_with("is a link that leaves the folder"), "{source}");
        }
    }
}
