//! What changes, as it changes. An event says *look*, never *what changed*.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use futures::{Stream, StreamExt as _, stream};
use naru_model::authorise::{Permission, Resource};
use naru_model::{Problem, ProjectName};
use naru_store::{Change, Changes, Topic};
use serde_json::json;

use crate::Cx;
use crate::access::{Asking, Chosen};
use crate::failure::Result;
use crate::streams;

/// Events of everything that the caller may read; what belongs to no project is heard by instance administrators.
///
/// Each has the name `change` and the data `{"topic": …, "project": …}`. The name `missed` says that events were lost
/// and everything should be looked at.
#[utoipa::path(get, path = "/api/v1/events", operation_id = "events", tag = "event",
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String),
        (status = "default", body = Problem)))]
pub(crate) async fn events(State(cx): State<Cx>, asking: Asking) -> Result<Response> {
    let ear = Ear { cx: cx.clone(), asking: asking.clone(), heard: HashMap::new() };
    streams::serve(&cx, asking, changes(cx.store.changes(), Filter::May(Box::new(ear))))
}

/// Events of one project, in the same form.
#[utoipa::path(get, path = "/api/v1/projects/{project}/events", operation_id = "projectEvents", tag = "event",
    params(("project" = ProjectName, Path)),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String),
        (status = "default", body = Problem)))]
pub(crate) async fn project_events(
    State(cx): State<Cx>,
    asking: Asking,
    Chosen(project): Chosen,
) -> Result<Response> {
    streams::serve(&cx, asking, changes(cx.store.changes(), Filter::Only(project.name)))
}

/// Which changes somebody hears of.
enum Filter {
    /// Of this project.
    Only(ProjectName),
    /// Of what they may read.
    May(Box<Ear>),
}

/// Asks once per project whether it may be read, until roles change.
struct Ear {
    cx: Cx,
    asking: Asking,
    heard: HashMap<ProjectName, bool>,
}

impl Ear {
    async fn hears(&mut self, change: &Change) -> bool {
        let before = change.project.as_ref().and_then(|project| self.heard.get(project).copied());
        if matches!(change.topic, Topic::Identity | Topic::Projects) {
            self.heard.clear();
            if let Ok(known) = self.cx.identity.identify(&self.asking.credentials).await {
                self.asking.known = known;
            }
        }
        let Some(project) = &change.project else { return self.asking.known.administrator };
        if let (Some(heard), true) = (before, change.topic != Topic::Identity) {
            // Who saw a project hears that it went.
            return heard;
        }
        let resource = Resource::Project(project.clone());
        let may = self.asking.may(&self.cx, Permission::Read, &resource).await.unwrap_or(false);
        self.heard.insert(project.clone(), may);
        may
    }
}

impl Filter {
    async fn lets_through(&mut self, change: &Change) -> bool {
        match self {
            Self::Only(project) => change.project.as_ref() == Some(project),
            Self::May(ear) => ear.hears(change).await,
        }
    }
}

fn changes(changes: Changes, filter: Filter) -> impl Stream<Item = Event> + Send {
    // A first event tells the client that from here on nothing is missed.
    let ready = Event::default().event("ready").data("{}");
    let following = stream::unfold((changes, filter), |(mut changes, mut filter)| async move {
        loop {
            let Some(change) = changes.next().await else {
                return Some((Event::default().event("missed").data("{}"), (changes, filter)));
            };
            if filter.lets_through(&change).await {
                return Some((event(&change), (changes, filter)));
            }
        }
    });
    stream::iter([ready]).chain(following)
}

fn event(change: &Change) -> Event {
    let topic = format!("{:?}", change.topic).to_lowercase();
    Event::default().event("change").data(json!({ "topic": topic, "project": change.project }).to_string())
}
