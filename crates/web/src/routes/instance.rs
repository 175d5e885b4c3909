//! The instance: probes, the OpenAPI document, checks, what the engine can do.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use naru_model::Problem;
use naru_model::api::{Capabilities, Doctor, Health, Storage};

use crate::Cx;
use crate::failure::Result;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The process answers.
#[utoipa::path(get, path = "/healthz", operation_id = "healthz", tag = "instance",
    responses((status = 200, body = Health)))]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok".to_owned(), version: VERSION.to_owned() })
}

/// The process can do its work: store, git and engine answer.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "instance",
    responses((status = 200, body = Health), (status = 503, body = Problem)))]
pub(crate) async fn readyz(State(cx): State<Cx>) -> Result<Json<Health>> {
    cx.store.has_account().await?;
    cx.behind.ready().await?;
    Ok(Json(Health { status: "ok".to_owned(), version: VERSION.to_owned() }))
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", operation_id = "openapi", tag = "instance",
    responses((status = 200, description = "An OpenAPI 3.1 document", content_type = "application/json")))]
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], crate::openapi_document()).into_response()
}

/// Looks at everything Naru stands on, and says how to mend what is broken.
#[utoipa::path(get, path = "/api/v1/doctor", operation_id = "doctor", tag = "instance",
    responses((status = 200, body = Doctor), (status = "default", body = Problem)))]
pub(crate) async fn doctor(State(cx): State<Cx>) -> Json<Doctor> {
    Json(Doctor { version: VERSION.to_owned(), checks: cx.behind.doctor().await })
}

/// Rate, errors and duration of requests per route and revision, in the OpenMetrics text format, version 1.0.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "instance",
    responses(
        (status = 200, description = "OpenMetrics", body = String, content_type = "application/openmetrics-text"),
        (status = "default", body = Problem),
    ))]
pub(crate) async fn metrics(State(cx): State<Cx>) -> Result<Response> {
    let (content_type, text) = cx.behind.metrics().await?;
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

/// What the container engine can do here.
#[utoipa::path(get, path = "/api/v1/engine", operation_id = "engine", tag = "instance",
    responses((status = 200, body = Capabilities), (status = "default", body = Problem)))]
pub(crate) async fn capabilities(State(cx): State<Cx>) -> Result<Json<Capabilities>> {
    Ok(Json(cx.behind.capabilities().await?))
}

/// How much the data folder holds, without the engine's own storage. Given up when there are too many files to count.
#[utoipa::path(get, path = "/api/v1/storage", operation_id = "storage", tag = "instance",
    responses((status = 200, body = Storage), (status = "default", body = Problem)))]
pub(crate) async fn storage(State(cx): State<Cx>) -> Result<Json<Storage>> {
    Ok(Json(Storage { parts: cx.behind.storage().await? }))
}
