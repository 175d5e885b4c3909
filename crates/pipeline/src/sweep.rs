//! Jobs that nobody wants any more: their run is over, or gone with its project.

use naru_engine::StepError;
use naru_model::job::JobScope;
use naru_store::StoreError;

use crate::Context;

/// Why a sweep was not finished; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    #[error(transparent)]
    Engine(#[from] StepError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stops the jobs of runs that are done with, or that nobody knows.
pub(crate) async fn sweep(cx: &Context) -> Result<(), SweepError> {
    for scope in cx.engine.job_scopes().await? {
        let JobScope::Run(project, number) = &scope else { continue };
        if cx.store.run(project, *number).await?.is_some_and(|run| !run.cleared) {
            continue;
        }
        for job in cx.engine.observe_jobs(&scope).await? {
            tracing::info!(job = %job.key, "a job that nobody wants is stopped");
            cx.engine.stop_job(&job.key).await?;
        }
    }
    Ok(())
}
