//! The trigger ledger: what asked for a run, and what became of it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use naru_model::api::{Page, Trigger};
use naru_model::{Problem, ProjectName};
use naru_store::trigger::TriggerId;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Caller, Chosen};
use crate::border::{InPath, InQuery};
use crate::failure::{Failure, Result};
use crate::paging::Paging;

fn view(row: naru_store::trigger::Trigger) -> Trigger {
    let branch = row.reference.strip_prefix("refs/heads/").or_else(|| row.reference.strip_prefix("refs/"));
    Trigger {
        id: row.id.to_string(),
        kind: row.kind.to_string(),
        reference: branch.unwrap_or(&row.reference).to_owned(),
        commit: row.new,
        by: row.by,
        received_at: row.received_at,
        state: row.state.to_string(),
        detail: (!row.detail.is_empty()).then_some(row.detail),
        run: row.run,
    }
}

/// The triggers of a project, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/triggers", operation_id = "listTriggers", tag = "trigger",
    params(("project" = ProjectName, Path), Paging),
    responses((status = 200, body = Page<Trigger>), (status = "default", body = Problem)))]
pub(crate) async fn list(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    InQuery(paging): InQuery<Paging>,
) -> Result<Json<Page<Trigger>>> {
    let rows = cx.store.triggers(&project.name, paging.after_number(), paging.probe()).await?;
    let triggers = rows.into_iter().map(view).collect();
    Ok(Json(paging.page(triggers, |trigger: &Trigger| trigger.id.clone())))
}

/// `{trigger}` in a path.
#[derive(Deserialize)]
pub(crate) struct OneTrigger {
    pub(crate) trigger: String,
}

/// Asks for the same again: a new trigger with the same commit.
#[utoipa::path(post, path = "/api/v1/projects/{project}/triggers/{trigger}/replay",
    operation_id = "replayTrigger", tag = "trigger",
    params(("project" = ProjectName, Path), ("trigger" = String, Path, description = "The trigger's id")),
    responses((status = 201, body = Trigger), (status = "default", body = Problem)))]
pub(crate) async fn replay(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    Caller(caller): Caller,
    InPath(path): InPath<OneTrigger>,
) -> Result<(StatusCode, Json<Trigger>)> {
    let row = repeat(&cx, &project.name, &path.trigger, &caller.login).await?;
    Ok((StatusCode::CREATED, Json(view(row))))
}

/// Repeats a trigger for the same commit.
pub(crate) async fn repeat(
    cx: &Cx,
    project: &ProjectName,
    id: &str,
    by: &str,
) -> Result<naru_store::trigger::Trigger> {
    let missing = || {
        Failure::missing(
            format!("a trigger {id:.40} that can be replayed"),
            &format!("naru trigger list --project {project}"),
        )
    };
    let id: TriggerId = id.parse().map_err(|_| missing())?;
    let replayed = match cx.store.replay_trigger(project, id, by).await {
        Ok(replayed) => replayed,
        Err(naru_store::StoreError::Missing(_)) => return Err(missing()),
        Err(error) => return Err(error.into()),
    };
    cx.store.trigger(replayed).await?.ok_or_else(missing)
}
