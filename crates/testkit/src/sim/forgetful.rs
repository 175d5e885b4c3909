//! A mistake in the deploy repositories: what was given up is offered again under a new number, so that its quarantine
//! does not hold.

use std::sync::Arc;

use async_trait::async_trait;
use naru_model::manifest::Files;
use naru_model::workload::EnvironmentSpec;
use naru_model::{CommitId, EnvironmentKey, ProjectName};
use naru_source::deploy::memory::InMemory;
use naru_source::deploy::{Committed, DeployError, DeployRepositories, Message, RevisionCommit};
use naru_source::git::GitError;

use super::stage::Stage;

/// Repositories that tell of the newest commit again after every rollout that was given up.
pub(super) struct Forgetful {
    pub(super) stage: Arc<Stage>,
    pub(super) inner: InMemory,
}

#[async_trait]
impl DeployRepositories for Forgetful {
    async fn head(&self, project: &ProjectName) -> Result<Option<CommitId>, DeployError> {
        self.inner.head(project).await
    }

    async fn read_spec(
        &self,
        key: &EnvironmentKey,
        commit: &CommitId,
    ) -> Result<Option<EnvironmentSpec>, DeployError> {
        self.inner.read_spec(key, commit).await
    }

    async fn commit_render(
        &self,
        key: &EnvironmentKey,
        render: &Files,
        message: &Message,
        expected: Option<&CommitId>,
    ) -> Result<Committed, DeployError> {
        self.inner.commit_render(key, render, message, expected).await
    }

    async fn rollback_to(
        &self,
        key: &EnvironmentKey,
        commit: &CommitId,
        message: &Message,
        expected: Option<&CommitId>,
    ) -> Result<Committed, DeployError> {
        self.inner.rollback_to(key, commit, message, expected).await
    }

    async fn history(&self, key: &EnvironmentKey) -> Result<Vec<RevisionCommit>, DeployError> {
        let mut history = self.inner.history(key).await?;
        for _ in 0..self.stage.given_up() {
            let Some(newest) = history.last() else { break };
            let again = RevisionCommit { number: newest.number.next(), ..newest.clone() };
            history.push(again);
        }
        Ok(history)
    }

    async fn delete(&self, project: &ProjectName) -> Result<(), GitError> {
        self.inner.delete(project).await
    }
}
