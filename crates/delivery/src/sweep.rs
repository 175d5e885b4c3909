//! Takes away what has no owner any more: projects that are being taken down, environments without a row, jobs whose end
//! was recorded. Only what this instance made is ever looked at.

use std::collections::BTreeSet;

use naru_engine::StepError;
use naru_model::job::JobScope;
use naru_model::route::RouteTable;
use naru_model::{EnvironmentKey, Generation, ProjectName};
use naru_store::lease::Lease;
use naru_store::{Look, StoreError};

use crate::{Context, turn};

/// One look at everything that exists, by one process at a time.
pub async fn pass(cx: &Context, _: &Look) -> Result<(), StoreError> {
    match cx.store.lease(turn::OF_SWEEP).await? {
        Some(lease) => sweep(cx, &lease).await,
        None => Ok(()),
    }
}

async fn sweep(cx: &Context, lease: &Lease) -> Result<(), StoreError> {
    let projects = cx.store.projects().await?;
    let leaving: BTreeSet<_> =
        projects.iter().filter(|project| project.deleting).map(|project| &project.name).collect();
    let keys: BTreeSet<_> = cx
        .store
        .environment_keys()
        .await?
        .into_iter()
        .filter(|key| !leaving.contains(&key.project))
        .collect();
    if let Err(error) = cx.store.guard(lease, remove_orphans(cx, &keys)).await? {
        tracing::warn!(%error, "orphans could not be taken away yet");
        return Ok(());
    }
    for project in leaving {
        if let Err(error) = cx.store.guard(lease, remove_files(cx, project)).await? {
            tracing::warn!(%project, %error, "the files of a project could not be removed yet");
            continue;
        }
        cx.store.forget_project(project).await?;
    }
    clear_jobs(cx, lease).await
}

/// Repositories and logs; blobs go with the next collection, since nothing refers to them any more.
async fn remove_files(
    cx: &Context,
    project: &ProjectName,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    cx.repositories.delete(project).await?;
    cx.logs.delete_project(project).await?;
    Ok(())
}

async fn remove_orphans(cx: &Context, keys: &BTreeSet<EnvironmentKey>) -> Result<(), StepError> {
    for (key, generation) in cx.traffic.tables().await? {
        if !keys.contains(&key) {
            let table = RouteTable { environment: key, routes: Vec::new(), maintenance: None };
            cx.traffic.publish(&table, Generation(generation.0 + 1)).await?;
        }
    }
    for key in cx.engine.environments().await? {
        if !keys.contains(&key) {
            cx.engine.remove_environment(&key, true).await?;
        }
    }
    Ok(())
}

/// Clears release commands of revisions that are not the target any more.
async fn clear_jobs(cx: &Context, lease: &Lease) -> Result<(), StoreError> {
    let scopes = match cx.engine.job_scopes().await {
        Ok(scopes) => scopes,
        Err(error) => {
            tracing::warn!(%error, "jobs could not be listed");
            return Ok(());
        }
    };
    for scope in scopes {
        let JobScope::Revision(key, revision) = &scope else { continue };
        let target = cx.store.environment(key).await?.and_then(|environment| environment.target);
        if target == Some(*revision) {
            continue;
        }
        if let Err(error) = cx.store.guard(lease, clear(cx, &scope)).await? {
            tracing::warn!(environment = %key, %error, "a finished release command could not be cleared yet");
        }
    }
    Ok(())
}

async fn clear(cx: &Context, scope: &JobScope) -> Result<(), StepError> {
    for job in cx.engine.observe_jobs(scope).await? {
        cx.engine.stop_job(&job.key).await?;
    }
    Ok(())
}
