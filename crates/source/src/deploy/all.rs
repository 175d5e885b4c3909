//! The deploy repositories of an instance as delivery needs them, and their real shape: folders of git.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use naru_model::effect::Effects;
use naru_model::manifest::Files;
use naru_model::workload::EnvironmentSpec;
use naru_model::{Clock, CommitId, EnvironmentKey, InstanceId, ProjectName};

use super::{Committed, DeployRepository, Message, Result, RevisionCommit};
use crate::SourceRepositories;
use crate::git::GitError;

/// Every project's deploy repository. [`InGit`] is the real one; [`super::memory::InMemory`] behaves the same for tests
/// that need thousands of commits.
#[async_trait]
pub trait DeployRepositories: Send + Sync + 'static {
    /// The commit of a project's branch `main`; `None` when the branch does not exist.
    async fn head(&self, project: &ProjectName) -> Result<Option<CommitId>>;

    /// See [`DeployRepository::read_spec`].
    async fn read_spec(&self, key: &EnvironmentKey, commit: &CommitId) -> Result<Option<EnvironmentSpec>>;

    /// See [`DeployRepository::commit_render`].
    async fn commit_render(
        &self,
        key: &EnvironmentKey,
        render: &Files,
        message: &Message,
        expected: Option<&CommitId>,
    ) -> Result<Committed>;

    /// See [`DeployRepository::rollback_to`].
    async fn rollback_to(
        &self,
        key: &EnvironmentKey,
        commit: &CommitId,
        message: &Message,
        expected: Option<&CommitId>,
    ) -> Result<Committed>;

    /// See [`DeployRepository::history`].
    async fn history(&self, key: &EnvironmentKey) -> Result<Vec<RevisionCommit>>;

    /// Removes a project's repositories. Repeating it is harmless.
    async fn delete(&self, project: &ProjectName) -> Result<(), GitError>;
}

/// The repositories in `git/` of a data folder. Cheap to clone.
#[derive(Clone)]
pub struct InGit {
    /// The data folder.
    pub data: PathBuf,
    /// Whose commits these are.
    pub instance: InstanceId,
    /// The hour of commits.
    pub clock: Arc<dyn Clock>,
    /// Told of every commit.
    pub effects: Arc<dyn Effects>,
}

impl InGit {
    /// One project's repository.
    pub fn of(&self, project: &ProjectName) -> DeployRepository {
        DeployRepository::new(&self.data, project, &self.instance, self.clock.clone(), self.effects.clone())
    }
}

#[async_trait]
impl DeployRepositories for InGit {
    async fn head(&self, project: &ProjectName) -> Result<Option<CommitId>> {
        self.of(project).head().await
    }

    async fn read_spec(&self, key: &EnvironmentKey, commit: &CommitId) -> Result<Option<EnvironmentSpec>> {
        self.of(&key.project).read_spec(commit, &key.environment).await
    }

    async fn commit_render(
        &self,
        key: &EnvironmentKey,
        render: &Files,
        message: &Message,
        expected: Option<&CommitId>,
    ) -> Result<Committed> {
        self.of(&key.project).commit_render(&key.environment, render, message, expected).await
    }

    async fn rollback_to(
        &self,
        key: &EnvironmentKey,
        commit: &CommitId,
        message: &Message,
        expected: Option<&CommitId>,
    ) -> Result<Committed> {
        self.of(&key.project).rollback_to(&key.environment, commit, message, expected).await
    }

    async fn history(&self, key: &EnvironmentKey) -> Result<Vec<RevisionCommit>> {
        self.of(&key.project).history(&key.environment).await
    }

    async fn delete(&self, project: &ProjectName) -> Result<(), GitError> {
        SourceRepositories::new(self.data.join("git"), self.effects.clone()).delete(project).await
    }
}
