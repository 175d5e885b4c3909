//! What changes, as it changes. An event says *look*, never *what changed*.

use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use futures::{Stream, StreamExt as _, stream};
use naru_model::{Problem, ProjectName};
use naru_store::{Change, Changes};
use serde_json::json;

use crate::Cx;
use crate::access::Chosen;
use crate::failure::Result;
use crate::streams;

/// Events of the whole instance.
///
/// Each has the name `change` and the data `{"topic": …, "project": …}`. The name `missed` says that events were lost
/// and everything should be looked at.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "events", tag = "event",
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String),
        (status = "default", body = Problem)))]
pub(crate) async fn events(State(cx): State<Cx>) -> Result<Response> {
    streams::serve(&cx, changes(cx.store.changes(), None))
}

/// Events of one project, in the same form.
#[utoipa::path(get, path = "/api/v1/projects/{project}/events", operation_id = "projectEvents", tag = "event",
    params(("project" = ProjectName, Path)),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String),
        (status = "default", body = Problem)))]
pub(crate) async fn project_events(State(cx): State<Cx>, Chosen(project): Chosen) -> Result<Response> {
    streams::serve(&cx, changes(cx.store.changes(), Some(project.name)))
}

fn changes(changes: Changes, only: Option<ProjectName>) -> impl Stream<Item = Event> + Send {
    // A first event tells the client that from here on nothing is missed.
    let ready = Event::default().event("ready").data("{}");
    let following = stream::unfold((changes, only), |(mut changes, only)| async move {
        loop {
            let Some(change) = changes.next().await else {
                return Some((Event::default().event("missed").data("{}"), (changes, only)));
            };
            if only.is_none() || change.project == only {
                return Some((event(&change), (changes, only)));
            }
        }
    });
    stream::iter([ready]).chain(following)
}

fn event(change: &Change) -> Event {
    let topic = format!("{:?}", change.topic).to_lowercase();
    Event::default().event("change").data(json!({ "topic": topic, "project": change.project }).to_string())
}
