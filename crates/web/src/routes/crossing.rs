//! The crossing: trigger → run → image → release → rollout → live. What lies behind it is gathered in [`gather`], and told
//! in [`draw`].

mod draw;
mod gather;

use axum::Json;
use axum::extract::State;
use naru_model::api::Crossing;
use naru_model::{EnvironmentName, Problem, ProjectName};

use crate::Cx;
use crate::access::Chosen;
use crate::border::InPath;
use crate::failure::Result;
use crate::routes::{InEnvironment, maintenance};

pub(crate) use draw::draw;
pub(crate) use gather::{Facts, Place, gather, gather_all};

/// How far the newest change of an environment is.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/crossing",
    operation_id = "showCrossing", tag = "environment",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path)),
    responses((status = 200, body = Crossing), (status = "default", body = Problem)))]
pub(crate) async fn show(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    InPath(path): InPath<InEnvironment>,
) -> Result<Json<Crossing>> {
    let place = Place::of(&project, path.environment);
    let mut facts = gather(&cx, place.clone()).await?;
    facts.urls = cx.behind.urls(&place.key).await;
    facts.maintenance = maintenance::of(&cx, &place.key).await?;
    Ok(Json(draw(&facts)))
}
