//! Server-sent events: bounded in number, kept alive, ended by the client.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _};
use naru_model::Problem;

use crate::Cx;
use crate::failure::{Failure, Result};

const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Serves a stream of events while there is room for one more.
pub(crate) fn serve(cx: &Cx, events: impl Stream<Item = Event> + Send + 'static) -> Result<Response> {
    let place = cx.0.streams.clone().try_acquire_owned().map_err(|_| {
        let problem = Problem::new("api.too-many-streams", "too many streams are open")
            .cause(format!("at most {} are served at once", crate::STREAMS_AT_ONCE))
            .hint("close some, then try again");
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, problem)
    })?;
    let events = events.map(move |event| {
        let _held = &place;
        Ok::<_, Infallible>(event)
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}
