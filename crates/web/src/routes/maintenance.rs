//! Maintenance of an environment: visitors get a page instead of the service. Written down here, published by delivery.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use naru_model::api::{Maintenance, MaintenanceChange};
use naru_model::maintenance::{self, MESSAGE_CHARACTERS_MAX};
use naru_model::{EnvironmentKey, EnvironmentName, Problem, ProjectName, Timestamp};

use crate::Cx;
use crate::access::{Caller, Chosen};
use crate::border::{Body, InPath};
use crate::failure::{Failure, Result};
use crate::routes::{InEnvironment, environment};

/// The latest end that can be announced.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// Maintenance as people see it; `None` while it is off.
pub(crate) async fn of(cx: &Cx, key: &EnvironmentKey) -> Result<Option<Maintenance>> {
    let stored = cx.store.maintenance(key).await?;
    Ok(stored.map(|stored| Maintenance {
        on: true,
        message: stored.told.message,
        until: stored.told.until,
        since: Some(stored.since),
        by: Some(stored.by),
    }))
}

/// Whether visitors get a page instead of the service.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/maintenance",
    operation_id = "showMaintenance", tag = "environment",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = Maintenance), (status = "default", body = Problem)))]
pub(crate) async fn show(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Json<Maintenance>> {
    let environment = environment(&cx, &chosen, path.environment).await?;
    Ok(Json(of(&cx, &environment.key).await?.unwrap_or_default()))
}

/// Gives visitors a page instead of the service, or changes what it says. In force a moment later; replicas keep
/// running, and deliveries go on.
#[utoipa::path(put, path = "/api/v1/projects/{project}/environments/{environment}/maintenance",
    operation_id = "beginMaintenance", tag = "environment", request_body = MaintenanceChange,
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = Maintenance), (status = "default", body = Problem)))]
pub(crate) async fn begin(
    State(cx): State<Cx>,
    Caller(caller): Caller,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    Body(given): Body<MaintenanceChange>,
) -> Result<Json<Maintenance>> {
    let environment = environment(&cx, &chosen, path.environment).await?;
    announce(&cx, &environment.key, given, &caller.login).await?;
    Ok(Json(of(&cx, &environment.key).await?.unwrap_or_default()))
}

/// Checks and keeps what visitors shall be told.
pub(crate) async fn announce(
    cx: &Cx,
    key: &EnvironmentKey,
    given: MaintenanceChange,
    login: &str,
) -> Result<()> {
    let told = told(given, cx.store.now())?;
    Ok(cx.store.begin_maintenance(key, &told, login).await?)
}

/// Gives visitors the service again. Repeating it is harmless.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/environments/{environment}/maintenance",
    operation_id = "endMaintenance", tag = "environment",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 204, description = "It is off"), (status = "default", body = Problem)))]
pub(crate) async fn end(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<StatusCode> {
    let environment = environment(&cx, &chosen, path.environment).await?;
    cx.store.end_maintenance(&environment.key).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn told(given: MaintenanceChange, now: Timestamp) -> Result<maintenance::Maintenance> {
    let refused = |summary: &str, cause: String| {
        let problem = Problem::new("api.bad-maintenance", summary).cause(cause).state("nothing was changed");
        Failure::refused(problem)
    };
    let message = given.message.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if message.as_deref().is_some_and(|text| !maintenance::is_message(text)) {
        let cause =
            format!("at most {MESSAGE_CHARACTERS_MAX} characters, and of control characters only line feeds");
        return Err(refused("this message cannot be shown to visitors", cause));
    }
    if given.until.is_some_and(|until| until <= now || until > now + LONGEST) {
        return Err(refused("this time cannot be announced", "it must lie ahead, within a year".to_owned()));
    }
    Ok(maintenance::Maintenance { message, until: given.until })
}
