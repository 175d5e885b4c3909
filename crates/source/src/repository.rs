//! Where a project's repositories are, how they come and go. What is pushed to them and what becomes of it is decided
//! in `http` and `ledger`; what the deploy repository holds, in `deploy`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use naru_model::effect::{Effects, observed};
use naru_model::{BranchName, CommitId, ProjectName};

use crate::git::{Archive, Git, Result};

/// Names one hosted repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Repository {
    /// Whose.
    pub project: ProjectName,
    /// Which of the project's two.
    pub kind: RepositoryKind,
}

/// The two repositories of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RepositoryKind {
    /// What people write.
    Source,
    /// What should run.
    Deploy,
}

impl Repository {
    /// Reads the folder name of a clone address: `shop.git` or `shop.deploy.git`.
    pub fn from_address(name: &str) -> Option<Self> {
        let name = name.strip_suffix(".git")?;
        let (project, kind) = match name.strip_suffix(".deploy") {
            Some(project) => (project, RepositoryKind::Deploy),
            None => (name, RepositoryKind::Source),
        };
        Some(Self { project: project.parse().ok()?, kind })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RepositoryKind::Source => write!(f, "{}.git", self.project),
            RepositoryKind::Deploy => write!(f, "{}.deploy.git", self.project),
        }
    }
}

/// All hosted repositories of an instance. Cheap to clone.
#[derive(Clone)]
pub struct SourceRepositories {
    root: PathBuf,
    effects: Arc<dyn Effects>,
}

impl SourceRepositories {
    /// The repositories below `root`: `source/<project>.git` and `deploy/<project>.git`.
    pub fn new(root: impl Into<PathBuf>, effects: Arc<dyn Effects>) -> Self {
        Self { root: root.into(), effects }
    }

    /// The folder all of them are in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A project's source repository, which need not exist.
    pub fn source(&self, project: &ProjectName) -> Git {
        Git::new(self.root.join("source").join(format!("{project}.git")), self.effects.clone())
    }

    /// A project's deploy repository, which need not exist.
    pub fn deploy(&self, project: &ProjectName) -> Git {
        Git::new(self.root.join("deploy").join(format!("{project}.git")), self.effects.clone())
    }

    /// One of them, by name.
    pub fn open(&self, repository: &Repository) -> Git {
        match repository.kind {
            RepositoryKind::Source => self.source(&repository.project),
            RepositoryKind::Deploy => self.deploy(&repository.project),
        }
    }

    /// Makes a project's source repository. Doing it again changes nothing.
    pub async fn create(&self, project: &ProjectName, default_branch: &BranchName) -> Result<Git> {
        let git = self.source(project);
        if !git.exists().await {
            git.init_bare(default_branch).await?;
        }
        Ok(git)
    }

    /// Removes both repositories of a project. Doing it again changes nothing.
    pub async fn delete(&self, project: &ProjectName) -> Result<()> {
        for git in [self.source(project), self.deploy(project)] {
            observed(&self.effects, "git.delete", remove_folder(git.folder())).await?;
        }
        Ok(())
    }

    /// Where a branch of the source repository is.
    pub async fn head(&self, project: &ProjectName, branch: &BranchName) -> Result<Option<CommitId>> {
        let git = self.source(project);
        if git.exists().await { git.rev_parse(&format!("refs/heads/{branch}")).await } else { Ok(None) }
    }

    /// Every file of a commit as a tar stream, at most `limit_bytes` long.
    pub fn archive(&self, project: &ProjectName, commit: &CommitId, limit_bytes: u64) -> Archive {
        self.source(project).archive(commit, limit_bytes)
    }

    pub(crate) fn effects(&self) -> &Arc<dyn Effects> {
        &self.effects
    }
}

/// A half-removed folder is no repository any more: it is renamed first.
async fn remove_folder(folder: &Path) -> Result<()> {
    let aside = folder.with_extension("deleted");
    match tokio::fs::rename(folder, &aside).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    match tokio::fs::remove_dir_all(&aside).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_repositories() {
        let read = |name: &str| Repository::from_address(name).map(|found| (found.to_string(), found.kind));
        assert_eq!(read("shop.git"), Some(("shop.git".into(), RepositoryKind::Source)));
        assert_eq!(read("shop.deploy.git"), Some(("shop.deploy.git".into(), RepositoryKind::Deploy)));
        for bad in [
            "shop",
            ".git",
            "..git",
            "../shop.git",
            "a;b.git",
            "$(id).git",
            "shop.deploy.deploy.git",
            "-x.git",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
