//! The deploy repositories as delivery uses them: errors sorted by the next move, and a commit repeated when somebody
//! pushed meanwhile.

use std::sync::Arc;

use naru_engine::StepError;
use naru_model::manifest::Files;
use naru_model::workload::EnvironmentSpec;
use naru_model::{CommitId, EnvironmentKey, InstanceId, Problem, ProjectName};
use naru_source::deploy::{DeployError, DeployRepositories, Message, RevisionCommit};
use naru_source::git::GitError;

/// How often a commit is tried again because somebody pushed meanwhile, before it waits for the next pass.
const TRIES: u32 = 5;

/// What becomes of an environment's folder.
pub(crate) enum Change<'a> {
    /// A render, merged with what people changed.
    Render(&'a Files),
    /// What it was at a commit.
    Return(&'a CommitId),
}

/// All deploy repositories of an instance. Cheap to clone.
#[derive(Clone)]
pub struct Repositories {
    /// Whose commits these are.
    pub instance: InstanceId,
    all: Arc<dyn DeployRepositories>,
}

impl Repositories {
    /// The repositories of an instance.
    pub fn new(instance: InstanceId, all: Arc<dyn DeployRepositories>) -> Self {
        Self { instance, all }
    }

    /// What the environment's folder asks for at a commit; an absent folder asks for nothing.
    pub async fn spec(&self, key: &EnvironmentKey, commit: &CommitId) -> Result<EnvironmentSpec, StepError> {
        let spec = self.all.read_spec(key, commit).await.map_err(step)?;
        Ok(spec.unwrap_or_default())
    }

    /// Makes a commit. `None` when nothing had to change.
    pub(crate) async fn commit(
        &self,
        key: &EnvironmentKey,
        change: &Change<'_>,
        message: &Message,
    ) -> Result<Option<CommitId>, StepError> {
        let mut tries = 1;
        loop {
            let head = self.all.head(&key.project).await.map_err(step)?;
            let committed = match change {
                Change::Render(files) => self.all.commit_render(key, files, message, head.as_ref()).await,
                Change::Return(to) => self.all.rollback_to(key, to, message, head.as_ref()).await,
            };
            match committed {
                Ok(committed) => return Ok(committed.changed.then_some(committed.head)),
                Err(DeployError::Stale { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(step(error)),
            }
        }
    }

    /// The environment's revisions, oldest first.
    pub(crate) async fn history(&self, key: &EnvironmentKey) -> Result<Vec<RevisionCommit>, StepError> {
        self.all.history(key).await.map_err(step)
    }

    /// Removes both repositories of a project from disk.
    pub(crate) async fn delete(&self, project: &ProjectName) -> Result<(), GitError> {
        self.all.delete(project).await
    }
}

/// Sorts an error of a deploy repository by the next move.
fn step(error: DeployError) -> StepError {
    if error.is_transient() {
        return StepError::Transient(error.to_string());
    }
    let mut problems = error.into_problems().into_iter();
    let mut problem =
        problems.next().unwrap_or_else(|| Problem::new("deploy.refused", "the deploy repository refused"));
    for other in problems {
        problem.cause.push(other.summary);
        problem.cause.extend(other.cause.into_iter().map(|line| format!("  {line}")));
    }
    StepError::Blocked(Box::new(problem))
}
