//! What an environment used and answered over time.

use axum::Json;
use axum::extract::State;
use naru_model::api::{EnvironmentMetrics, MetricRange};
use naru_model::{EnvironmentName, Problem, ProjectName, ServiceName};
use serde::Deserialize;

use crate::Cx;
use crate::access::Chosen;
use crate::border::{InPath, InQuery};
use crate::failure::Result;
use crate::routes::{InEnvironment, environment};

/// Which figures.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// How far back; an hour without it.
    #[serde(default)]
    #[param(inline, required = false)]
    range: MetricRange,
    /// Only this service; all together without it.
    service: Option<String>,
}

/// What the replicas of an environment used, what came of requests, and when revisions got the traffic.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/metrics",
    operation_id = "environmentMetrics", tag = "environment",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), Which),
    responses((status = 200, body = EnvironmentMetrics), (status = "default", body = Problem)))]
pub(crate) async fn show(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(which): InQuery<Which>,
) -> Result<Json<EnvironmentMetrics>> {
    let environment = environment(&cx, &chosen, path.environment).await?;
    let service = which.service.as_deref().map(str::parse::<ServiceName>).transpose()?;
    let told = naru_observe::history(&cx.store, &environment.key, which.range, service.as_ref()).await?;
    Ok(Json(told))
}
