//! Source repositories in memory, for tests that need thousands of commits. What is read is the same as in git; links,
//! submodules and executable files are not played here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use naru_model::{CommitId, Digest, ProjectName};

use super::{Commits, Sources};
use crate::git::{Entry, EntryKind, GitError, Result};

/// A commit's files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The repositories of an instance. Clones share them, as processes share a disk.
#[derive(Clone, Default)]
pub struct InMemory(Arc<Mutex<BTreeMap<ProjectName, Repository>>>);

#[derive(Clone, Default)]
struct Repository {
    commits: BTreeMap<CommitId, Arc<Files>>,
    /// By full name, such as `refs/heads/main`.
    heads: BTreeMap<String, CommitId>,
}

impl InMemory {
    /// Keeps a commit that no branch leads to yet: its id is made of its files and its parent.
    pub fn commit(&self, project: &ProjectName, parent: Option<&CommitId>, files: Files) -> CommitId {
        let mut text = format!("{parent:?}").into_bytes();
        for (path, content) in &files {
            text.extend_from_slice(path.as_bytes());
            text.extend_from_slice(content);
        }
        let id = Digest::of(&text).hex()[..40].to_owned();
        let id = CommitId::try_from(id).expect("40 hexadecimal characters");
        self.lock().entry(project.clone()).or_default().commits.insert(id.clone(), Arc::new(files));
        id
    }

    /// Moves a branch, by its full name.
    pub fn move_branch(&self, project: &ProjectName, reference: &str, to: &CommitId) {
        let mut repositories = self.lock();
        let repository = repositories.entry(project.clone()).or_default();
        repository.heads.insert(reference.to_owned(), to.clone());
    }

    /// Where the branches of a project are, by full name.
    pub fn heads(&self, project: &ProjectName) -> BTreeMap<String, CommitId> {
        self.lock().get(project).map(|repository| repository.heads.clone()).unwrap_or_default()
    }

    /// Removes a project's repository. Doing it again changes nothing.
    pub fn delete(&self, project: &ProjectName) {
        self.lock().remove(project);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProjectName, Repository>> {
        self.0.lock().expect("nothing panics while it holds the repositories")
    }
}

impl Sources for InMemory {
    fn of(&self, project: &ProjectName) -> Box<dyn Commits> {
        Box::new(self.lock().get(project).cloned().unwrap_or_default())
    }
}

impl Repository {
    fn files(&self, commit: &CommitId) -> Result<&Files> {
        let missing = || GitError::Io(std::io::Error::other(format!("commit {commit} is not there")));
        self.commits.get(commit).map(|files| &**files).ok_or_else(missing)
    }
}

#[async_trait]
impl Commits for Repository {
    async fn has(&self, commit: &CommitId) -> Result<bool> {
        Ok(self.commits.contains_key(commit))
    }

    async fn file(&self, commit: &CommitId, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        let Some(content) = self.files(commit)?.get(path) else { return Ok(None) };
        if content.len() as u64 > limit_bytes {
            return Err(GitError::TooLarge { what: path.to_owned(), limit_bytes });
        }
        Ok(Some(content.clone()))
    }

    async fn list(&self, commit: &CommitId, folder: Option<&str>) -> Result<Vec<Entry>> {
        let prefix = folder.map(|folder| format!("{folder}/")).unwrap_or_default();
        let mut entries: BTreeMap<String, EntryKind> = BTreeMap::new();
        for path in self.files(commit)?.keys() {
            let Some(below) = path.strip_prefix(&prefix) else { continue };
            match below.split_once('/') {
                Some((name, _)) => entries.insert(format!("{prefix}{name}"), EntryKind::Folder),
                None => entries.insert(path.clone(), EntryKind::File),
            };
        }
        let object = |path: &str| Digest::of(path.as_bytes()).hex()[..40].to_owned();
        Ok(entries.into_iter().map(|(path, kind)| Entry { kind, object: object(&path), path }).collect())
    }
}
