//! What runs in an environment at this moment, and the volumes of its services.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use naru_model::api::{Page, Replica, ReplicaCondition, Volume};
use naru_model::rollout::{ReplicaSeen, ReplicaState};
use naru_model::{EnvironmentKey, EnvironmentName, Problem, ProjectName};
use naru_store::environment::Environment;

use crate::Cx;
use crate::access::Chosen;
use crate::border::InPath;
use crate::failure::Result;
use crate::routes::{InEnvironment, environment};

/// The engine is not waited for any longer.
const WAIT: Duration = Duration::from_secs(2);

/// The replicas of an environment as the engine sees them, those that exited included.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/replicas",
    operation_id = "listReplicas", tag = "environment",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = Page<Replica>), (status = "default", body = Problem)))]
pub(crate) async fn list_replicas(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Json<Page<Replica>>> {
    let row = environment(&cx, &chosen, path.environment).await?;
    let items = seen(&cx, &row.key).await?.into_iter().map(replica).collect();
    Ok(Json(Page { items, next: None }))
}

/// The volumes that the wanted revision's services have.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/volumes",
    operation_id = "listVolumes", tag = "environment",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = Page<Volume>), (status = "default", body = Problem)))]
pub(crate) async fn list_volumes(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Json<Page<Volume>>> {
    let row = environment(&cx, &chosen, path.environment).await?;
    Ok(Json(Page { items: volumes(&cx, &row).await?, next: None }))
}

/// What the engine sees, by service, the newest revision first.
pub(crate) async fn seen(cx: &Cx, key: &EnvironmentKey) -> Result<Vec<ReplicaSeen>, Problem> {
    let looked = tokio::time::timeout(WAIT, cx.behind.replicas(key)).await;
    let mut seen = looked.unwrap_or_else(|_| Err(too_slow()))?;
    seen.sort_by(|one, other| {
        (&one.key.service, other.key.revision, one.key.index).cmp(&(
            &other.key.service,
            one.key.revision,
            other.key.index,
        ))
    });
    Ok(seen)
}

fn too_slow() -> Problem {
    Problem::new("instance.trouble", "the container engine does not answer")
        .cause(format!("it was waited for {} s", WAIT.as_secs()))
        .state("what runs keeps running; it is only not seen")
        .hint("try again; if it stays, look at:")
        .command("naru doctor")
}

fn replica(seen: ReplicaSeen) -> Replica {
    let (condition, since, ended) = match seen.state {
        ReplicaState::Starting => (ReplicaCondition::Starting, None, None),
        ReplicaState::Running { since, ready: true } => (ReplicaCondition::Ready, Some(since), None),
        ReplicaState::Running { since, ready: false } => (ReplicaCondition::NotReady, Some(since), None),
        ReplicaState::Stopping => (ReplicaCondition::Stopping, None, None),
        ReplicaState::Exited { reason, at, .. } => {
            (ReplicaCondition::Exited, Some(at), Some(reason.to_string()))
        }
    };
    Replica {
        name: seen.key.to_string(),
        service: seen.key.service,
        revision: seen.key.revision,
        restarts: seen.key.attempt,
        condition,
        since,
        ended,
    }
}

/// The volumes that the wanted revision's services have, by service and name.
pub(crate) async fn volumes(cx: &Cx, row: &Environment) -> Result<Vec<Volume>> {
    let Some(target) = row.target else { return Ok(Vec::new()) };
    let revision = cx.store.revision(&row.key, target).await?;
    let Some(release) = revision.and_then(|revision| revision.release) else { return Ok(Vec::new()) };
    let Some(release) = cx.store.release(&row.key.project, release).await? else { return Ok(Vec::new()) };
    let mut volumes = Vec::new();
    for (service, definition) in release.definition.services {
        volumes.extend(definition.volumes.into_iter().map(|(name, volume)| Volume {
            name,
            service: service.clone(),
            path: volume.path.as_str().to_owned(),
            size: volume.size.map(|size| size.to_string()),
            access: volume.access,
        }));
    }
    Ok(volumes)
}
