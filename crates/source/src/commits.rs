//! The commits of source repositories as the pipeline reads them, and their real shape: folders of git. How commits get
//! there is decided in `http`.

pub mod memory;

use async_trait::async_trait;
use naru_model::{CommitId, ProjectName};

use crate::SourceRepositories;
use crate::git::{Entry, Git, Result};

/// The source repositories of an instance. [`SourceRepositories`] is the real one; [`memory::InMemory`] behaves the same
/// for tests that need thousands of commits.
pub trait Sources: Send + Sync + 'static {
    /// What reads a project's commits for one operation.
    fn of(&self, project: &ProjectName) -> Box<dyn Commits>;
}

/// Reads the commits of one repository.
#[async_trait]
pub trait Commits: Send + Sync {
    /// Whether a commit is there.
    async fn has(&self, commit: &CommitId) -> Result<bool>;

    /// See [`Git::cat_file`].
    async fn file(&self, commit: &CommitId, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>>;

    /// See [`Git::ls_tree`], without what is below.
    async fn list(&self, commit: &CommitId, folder: Option<&str>) -> Result<Vec<Entry>>;
}

impl Sources for SourceRepositories {
    fn of(&self, project: &ProjectName) -> Box<dyn Commits> {
        Box::new(self.source(project))
    }
}

#[async_trait]
impl Commits for Git {
    async fn has(&self, commit: &CommitId) -> Result<bool> {
        Ok(self.rev_parse(commit.as_str()).await?.is_some())
    }

    async fn file(&self, commit: &CommitId, path: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        self.cat_file(commit, path, limit_bytes).await
    }

    async fn list(&self, commit: &CommitId, folder: Option<&str>) -> Result<Vec<Entry>> {
        self.ls_tree(commit, folder, false).await
    }
}
