//! What was asked for, until it is a revision.

use axum::Json;
use axum::extract::State;
use naru_model::api::{Intent, IntentState};
use naru_model::authorise::{Permission, Resource};
use naru_model::{EnvironmentKey, Problem, ProjectName, RevisionNumber};
use naru_store::intent::IntentKind;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, Chosen};
use crate::border::InPath;
use crate::failure::{Failure, Result};

/// The newest revisions that are searched for an intent's commit.
const RECENT: u32 = 100;

async fn view(cx: &Cx, project: &ProjectName, row: naru_store::intent::Intent) -> Result<Intent> {
    let key = EnvironmentKey { project: project.clone(), environment: row.environment.clone() };
    let revision = revision_of(cx, &key, &row).await?;
    let what = match row.kind {
        IntentKind::Deploy { release } => format!("deploy release {release}"),
        IntentKind::Rollback { revision } => format!("roll back to revision {revision}"),
        IntentKind::Render => "apply the configuration and secrets".to_owned(),
    };
    Ok(Intent {
        id: row.id,
        environment: row.environment,
        what,
        by: row.by,
        created_at: row.created_at,
        state: match row.state {
            naru_store::intent::IntentState::Pending => IntentState::Pending,
            naru_store::intent::IntentState::Done => IntentState::Done,
            naru_store::intent::IntentState::Failed => IntentState::Failed,
        },
        commit: row.commit,
        revision,
        problem: row.problem,
    })
}

async fn revision_of(
    cx: &Cx,
    key: &EnvironmentKey,
    intent: &naru_store::intent::Intent,
) -> Result<Option<RevisionNumber>> {
    let Some(commit) = &intent.commit else { return Ok(None) };
    let recent = cx.store.revisions(key, RECENT).await?;
    Ok(recent.into_iter().find(|revision| revision.commit == *commit).map(|revision| revision.number))
}

/// An intent that was just recorded.
pub(crate) async fn recorded(cx: &Cx, key: &EnvironmentKey, id: i64) -> Result<Intent> {
    let row = cx.store.intent(&key.project, id).await?.ok_or_else(|| missing(&key.project, id))?;
    view(cx, &key.project, row).await
}

fn missing(project: &ProjectName, id: i64) -> Failure {
    Failure::missing(
        format!("intent {id} of project `{project}`"),
        &format!("naru status --project {project}"),
    )
}

/// `{intent}` in a path.
#[derive(Deserialize)]
pub(crate) struct OneIntent {
    intent: i64,
}

/// What became of a deploy, a rollback or a change of settings.
#[utoipa::path(get, path = "/api/v1/projects/{project}/intents/{intent}", operation_id = "showIntent",
    tag = "environment", params(("project" = ProjectName, Path), ("intent" = i64, Path)),
    responses((status = 200, body = Intent), (status = "default", body = Problem)))]
pub(crate) async fn show(
    State(cx): State<Cx>,
    asking: Asking,
    Chosen(project): Chosen,
    InPath(path): InPath<OneIntent>,
) -> Result<Json<Intent>> {
    let row = cx.store.intent(&project.name, path.intent).await?;
    let row = row.ok_or_else(|| missing(&project.name, path.intent))?;
    let key = EnvironmentKey { project: project.name.clone(), environment: row.environment.clone() };
    if !asking.may(&cx, Permission::Read, &Resource::Environment(key)).await? {
        return Err(missing(&project.name, path.intent));
    }
    Ok(Json(view(&cx, &project.name, row).await?))
}
