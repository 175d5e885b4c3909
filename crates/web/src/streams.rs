//! Server-sent events: bounded in number, kept alive, ended by the client, or when the caller may not listen any more.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _};
use naru_model::Problem;
use naru_model::authorise::{Authorise as _, Denied};
use naru_store::Topic;

use crate::Cx;
use crate::access::Asking;
use crate::failure::{Failure, Result};

const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a stream goes on at most after the caller lost the right to it, when no ring says so.
const ASK_AGAIN: Duration = Duration::from_secs(4);

/// Serves a stream of events while there is room for one more, and while the caller may do what the route asks for.
pub(crate) fn serve(
    cx: &Cx,
    asking: Asking,
    events: impl Stream<Item = Event> + Send + 'static,
) -> Result<Response> {
    let place = cx.0.streams.clone().try_acquire_owned().map_err(|_| {
        let problem = Problem::new("api.too-many-streams", "too many streams are open")
            .cause(format!("at most {} are served at once", crate::STREAMS_AT_ONCE))
            .hint("close some, then try again");
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, problem)
    })?;
    let events = events.take_until(Box::pin(until_denied(cx.clone(), asking))).map(move |event| {
        let _held = &place;
        Ok::<_, Infallible>(event)
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// Ends when what was asked for would be refused now: the session or token ended, the account was disabled, or a role was
/// lost. A store that does not answer ends no stream.
async fn until_denied(cx: Cx, asking: Asking) {
    let mut changes = cx.store.changes();
    let (permission, resource) = &asking.admitted;
    loop {
        let now = cx.identity.authorise(&asking.credentials, *permission, resource).await;
        if matches!(now, Err(Denied::Unauthenticated | Denied::Forbidden)) {
            return;
        }
        changes.wait(&[Topic::Identity, Topic::Projects], ASK_AGAIN).await;
    }
}
