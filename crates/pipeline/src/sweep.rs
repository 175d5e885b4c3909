//! Jobs that nobody wants any more: their run is over, or gone with its project.

use std::collections::BTreeSet;

use naru_engine::StepError;
use naru_model::job::{JobKey, JobScope};
use naru_store::StoreError;

use crate::Context;

/// Why a sweep was not finished; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The engine did not answer.
    #[error(transparent)]
    Engine(#[from] StepError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stops the jobs of runs that are done with, or that nobody knows; one process at a time.
pub async fn sweep(cx: &Context) -> Result<(), SweepError> {
    let Some(lease) = cx.store.lease("sweep/pipeline").await? else { return Ok(()) };
    for scope in cx.engine.job_scopes().await? {
        let JobScope::Run(project, number) = &scope else { continue };
        if cx.store.run(project, *number).await?.is_some_and(|run| !run.cleared) {
            continue;
        }
        let mut keys: BTreeSet<JobKey> =
            cx.engine.observe_jobs(&scope).await?.into_iter().map(|job| job.key).collect();
        // What was only half made is not shown as a job, but the engine says that the scope has something left.
        for step in cx.store.run_steps(project, *number).await? {
            let key =
                |attempt| JobKey { scope: scope.clone(), name: step.name.job_name().to_string(), attempt };
            keys.extend((1..=step.attempt).map(key));
        }
        for key in keys {
            tracing::info!(job = %key, "what is left of a job that nobody wants is removed");
            cx.store.guard(&lease, cx.engine.stop_job(&key)).await??;
        }
    }
    Ok(())
}
