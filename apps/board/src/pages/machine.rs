//! What machines and browsers read: health, metrics, the style sheet.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;

use crate::Board;
use crate::failure::Failure;

/// The process answers.
pub async fn alive() -> &'static str {
    "alive\n"
}

/// The process can do its work: the database answers.
pub async fn ready(State(board): State<Arc<Board>>) -> (StatusCode, &'static str) {
    match board.store.totals().await {
        Ok(_) => (StatusCode::OK, "ready\n"),
        Err(failure) => {
            eprintln!("not ready: {failure:?}");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
        }
    }
}

/// OpenMetrics 1.0.
pub async fn metrics(State(board): State<Arc<Board>>) -> Result<impl IntoResponse, Failure> {
    let totals = board.store.totals().await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], board.metrics.text(totals)))
}

/// The style sheet, part of the binary.
pub async fn style() -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "public, max-age=300")];
    (headers, include_str!("../../assets/board.css"))
}
