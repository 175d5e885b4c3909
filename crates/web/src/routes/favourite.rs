//! Favourites: the projects that somebody keeps at hand. They are the account's own, so that it takes both: to read the
//! project, and to change the account.

use axum::extract::State;
use axum::http::StatusCode;
use naru_model::authorise::{Permission, Resource};
use naru_model::{Problem, ProjectName};

use crate::Cx;
use crate::access::{Asking, Chosen};
use crate::failure::Result;

/// Keeps a project among the caller's favourites. Repeating it is harmless.
#[utoipa::path(put, path = "/api/v1/projects/{project}/favourite", operation_id = "addFavourite", tag = "project",
    params(("project" = ProjectName, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn add(State(cx): State<Cx>, asking: Asking, Chosen(project): Chosen) -> Result<StatusCode> {
    set(&cx, &asking, &project.name, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a project out of the caller's favourites. Repeating it is harmless.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/favourite", operation_id = "removeFavourite", tag = "project",
    params(("project" = ProjectName, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(crate) async fn remove(
    State(cx): State<Cx>,
    asking: Asking,
    Chosen(project): Chosen,
) -> Result<StatusCode> {
    set(&cx, &asking, &project.name, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Keeps a project among somebody's favourites, or no longer.
pub(crate) async fn set(cx: &Cx, asking: &Asking, project: &ProjectName, favourite: bool) -> Result<()> {
    asking.require(cx, Permission::OwnTokens, &Resource::Instance).await?;
    Ok(cx.store.set_favourite(&asking.known.principal.login, project, favourite).await?)
}
