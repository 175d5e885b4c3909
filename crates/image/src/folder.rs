//! Files of blobs and of uploads in progress. Knows paths, hashes and durability; nothing of HTTP, rows or rights.
//!
//! `<root>/sha256/<first two digits>/<digits>` holds a blob; a file there is complete and never changes. `<root>/uploads/
//! <project>~<repository>~<id>` holds an upload in progress: the file is its whole state, its length the offset, so an
//! upload outlives a restart. All calls block.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::SystemTime;

use bytes::Bytes;
use naru_model::Digest;
use naru_store::image::Repository;
use ring::digest::{Context, SHA256};
use uuid::Uuid;

/// How much is read at once when a file is hashed again.
const REHASH_CHUNK: usize = 1 << 20;
/// How many bytes arrive between two flushes to the disk.
const FLUSH_STEP: u64 = 8 << 20;

/// The folder of one instance.
#[derive(Debug, Clone)]
pub(crate) struct BlobFolder {
    root: PathBuf,
}

/// Names one upload in progress. An id of another repository is another upload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct UploadKey {
    pub(crate) repository: Repository,
    pub(crate) id: Uuid,
}

impl BlobFolder {
    /// Opens or creates the folder.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("sha256"))?;
        fs::create_dir_all(root.join("uploads"))?;
        Ok(Self { root: root.to_owned() })
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("sha256").join(&digest.hex()[..2]).join(digest.hex())
    }

    fn upload(&self, key: &UploadKey) -> PathBuf {
        let Repository { project, name } = &key.repository;
        self.root.join("uploads").join(format!("{project}~{name}~{}", key.id))
    }

    /// Opens a blob for reading.
    pub(crate) fn read_blob(&self, digest: &Digest) -> io::Result<File> {
        File::open(self.blob(digest))
    }

    /// Whether the blob's file is here with this size.
    pub(crate) fn has_blob(&self, digest: &Digest, size: u64) -> bool {
        fs::metadata(self.blob(digest)).is_ok_and(|metadata| metadata.len() == size)
    }

    /// Removes a blob's file; that it is gone already is fine.
    pub(crate) fn remove_blob(&self, digest: &Digest) -> io::Result<()> {
        forgive_missing(fs::remove_file(self.blob(digest)))
    }

    /// Starts an upload. `None` when the project or the instance has too many in progress.
    pub(crate) fn create_upload(
        &self,
        key: &UploadKey,
        per_project: usize,
        in_all: usize,
    ) -> io::Result<Option<Upload>> {
        let prefix = format!("{}~", key.repository.project);
        let (mut ours, mut all) = (0, 0);
        for entry in fs::read_dir(self.root.join("uploads"))? {
            all += 1;
            ours += usize::from(entry?.file_name().to_string_lossy().starts_with(&prefix));
        }
        if ours >= per_project || all >= in_all {
            return Ok(None);
        }
        let file = OpenOptions::new().write(true).create_new(true).open(self.upload(key))?;
        Ok(Some(Upload { file, hasher: Context::new(&SHA256), length: 0, flushing: None }))
    }

    /// Takes an upload up again, from its file alone. `None` when there is none.
    pub(crate) fn resume_upload(&self, key: &UploadKey) -> io::Result<Option<Upload>> {
        let mut file = match OpenOptions::new().read(true).write(true).open(self.upload(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut hasher = Context::new(&SHA256);
        let mut buffer = vec![0; REHASH_CHUNK];
        let mut length = 0;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return Ok(Some(Upload { file, hasher, length, flushing: None }));
            }
            hasher.update(&buffer[..read]);
            length += read as u64;
        }
    }

    /// Removes an upload. `false` when there was none.
    pub(crate) fn remove_upload(&self, key: &UploadKey) -> io::Result<bool> {
        match fs::remove_file(self.upload(key)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a finished upload the blob of this digest: on disk first, then in place by rename, then the folder on disk.
    pub(crate) fn place(&self, key: &UploadKey, upload: &mut Upload, digest: &Digest) -> io::Result<()> {
        upload.flushed()?;
        upload.file.sync_all()?;
        let path = self.blob(digest);
        let folder = path.parent().expect("a blob's file is in a folder");
        if !folder.exists() {
            fs::create_dir_all(folder)?;
            File::open(self.root.join("sha256"))?.sync_all()?;
        }
        fs::rename(self.upload(key), &path)?;
        File::open(folder)?.sync_all()
    }

    /// Every upload in progress, and when its last byte arrived. What is not named like an upload is left alone.
    pub(crate) fn uploads(&self) -> io::Result<Vec<(UploadKey, SystemTime)>> {
        let named = files_in(&self.root.join("uploads"))?.into_iter();
        Ok(named.filter_map(|(name, changed)| Some((UploadKey::parse(&name)?, changed))).collect())
    }

    /// Every blob's file, and since when it is there. What is not named like a blob is left alone.
    pub(crate) fn blobs(&self) -> io::Result<Vec<(Digest, SystemTime)>> {
        let mut found = Vec::new();
        for folder in fs::read_dir(self.root.join("sha256"))? {
            let named = files_in(&folder?.path())?.into_iter();
            found.extend(
                named.filter_map(|(name, changed)| Some((format!("sha256:{name}").parse().ok()?, changed))),
            );
        }
        Ok(found)
    }
}

impl UploadKey {
    fn parse(file_name: &str) -> Option<Self> {
        let mut parts = file_name.splitn(3, '~');
        let repository =
            Repository { project: parts.next()?.parse().ok()?, name: parts.next()?.parse().ok()? };
        Some(Self { repository, id: Uuid::parse_str(parts.next()?).ok()? })
    }
}

/// Names and times of change of a folder's files.
fn files_in(folder: &Path) -> io::Result<Vec<(String, SystemTime)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // finished meanwhile
            Err(error) => return Err(error),
        };
        if metadata.is_file() {
            found.push((entry.file_name().to_string_lossy().into_owned(), metadata.modified()?));
        }
    }
    Ok(found)
}

/// Removing what is gone already is fine.
fn forgive_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// An upload in progress: an open file at its end, and the hash of what is in it. Hashing is what a push spends its time
/// on; ring's is half as fast again as sha2's on processors without SHA instructions.
pub(crate) struct Upload {
    file: File,
    hasher: Context,
    length: u64,
    /// Brings what has arrived to the disk while more arrives, so that little is left to do at the end.
    flushing: Option<JoinHandle<io::Result<()>>>,
}

impl Upload {
    /// How many bytes have arrived.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Adds bytes at the end. After an error the upload must be resumed from its file.
    pub(crate) fn append(&mut self, batch: &[Bytes]) -> io::Result<()> {
        for bytes in batch {
            self.file.write_all(bytes)?;
            self.hasher.update(bytes);
            self.length += bytes.len() as u64;
        }
        Ok(())
    }

    /// As `append`, with a second thread that writes while this one hashes.
    pub(crate) fn append_side_by_side(&mut self, batch: &[Bytes]) -> io::Result<()> {
        let mut file = &self.file;
        let written = std::thread::scope(|threads| {
            let writer = threads.spawn(move || batch.iter().try_for_each(|bytes| file.write_all(bytes)));
            for bytes in batch {
                self.hasher.update(bytes);
            }
            writer.join()
        });
        let before = self.length;
        self.length += batch.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        written.map_err(|_| io::Error::other("the thread that writes ended"))??;
        if before / FLUSH_STEP < self.length / FLUSH_STEP && self.flushing.is_none() {
            let file = self.file.try_clone()?;
            self.flushing = Some(std::thread::spawn(move || file.sync_data()));
        } else if self.flushing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.flushed()?;
        }
        Ok(())
    }

    /// Waits for the flush under way. The kernel reports a failed write once, to whoever asks first: here.
    fn flushed(&mut self) -> io::Result<()> {
        let Some(flushing) = self.flushing.take() else { return Ok(()) };
        flushing.join().map_err(|_| io::Error::other("the thread that flushes ended"))?
    }

    /// The digest of everything that has arrived.
    pub(crate) fn digest(&self) -> Digest {
        let hex = hex::encode(self.hasher.clone().finish());
        format!("sha256:{hex}").parse().expect("a SHA-256 is a digest")
    }

    /// Forgets everything after `length`; the upload must be resumed from its file.
    pub(crate) fn cut(self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(repository: &str) -> UploadKey {
        let repository = Repository { project: "shop".parse().unwrap(), name: repository.parse().unwrap() };
        UploadKey { repository, id: Uuid::new_v4() }
    }

    #[test]
    fn an_upload_outlives_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobFolder::open(folder.path()).unwrap();
        let key = key("web");
        let mut upload = blobs.create_upload(&key, 9, 9).unwrap().unwrap();
        upload.append(&[Bytes::from_static(b"first "), Bytes::from_static(b"half, ")]).unwrap();
        drop(upload);
        let reopened = BlobFolder::open(folder.path()).unwrap();
        let mut upload = reopened.resume_upload(&key).unwrap().unwrap();
        assert_eq!(upload.length(), 12);
        upload.append(&[Bytes::from_static(b"second half")]).unwrap();
        let digest = Digest::of(b"first half, second half");
        assert_eq!(upload.digest(), digest);
        reopened.place(&key, &mut upload, &digest).unwrap();
        assert!(reopened.has_blob(&digest, 23));
        assert!(reopened.resume_upload(&key).unwrap().is_none());
    }

    #[test]
    fn an_id_is_worth_nothing_in_another_repository() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobFolder::open(folder.path()).unwrap();
        let ours = key("web");
        blobs.create_upload(&ours, 9, 9).unwrap().unwrap();
        let theirs = UploadKey { id: ours.id, ..key("other") };
        assert!(blobs.resume_upload(&theirs).unwrap().is_none());
        assert!(!blobs.remove_upload(&theirs).unwrap());
    }

    #[test]
    fn uploads_are_bounded_per_project() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobFolder::open(folder.path()).unwrap();
        assert!(blobs.create_upload(&key("web"), 1, 9).unwrap().is_some());
        assert!(blobs.create_upload(&key("api"), 1, 9).unwrap().is_none());
        assert!(blobs.create_upload(&key("web"), 9, 1).unwrap().is_none());
    }
}
