//! Output of steps and services: one answer, or a stream that follows. Positions are event ids, so a client that was cut
//! off goes on where it was (`Last-Event-ID`).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::Event;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use naru_model::api::{LogLine, Page};
use naru_model::definition::NodeName;
use naru_model::{EnvironmentKey, EnvironmentName, Problem, ProjectName, RunNumber, ServiceName};
use naru_store::environment::Environment;
use naru_store::log::{Cursor, LogEntry, LogStream};
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, Chosen};
use crate::border::{InPath, InQuery};
use crate::failure::{Failure, Result};
use crate::routes::{InEnvironment, environment};
use crate::streams;

/// Lines of one answer that does not follow.
const LINES_AT_ONCE: usize = 1000;
/// Bytes of what is searched for.
const NEEDLE_BYTES: usize = 200;

/// Which lines.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Goes on after this position; from the start without it.
    after: Option<String>,
    /// Stays and sends what is printed later, as server-sent events named `line`, each with its position as id.
    #[serde(default)]
    follow: bool,
    /// Only this service (service logs).
    service: Option<String>,
    /// Only lines that contain this text, as it is written. A page may then be short, or empty, and still not the last: ask
    /// on with its `next`.
    search: Option<String>,
}

/// `{run}` and `{step}` in a path.
#[derive(Deserialize)]
pub(crate) struct InStep {
    pub(crate) run: RunNumber,
    pub(crate) step: String,
}

/// What a step printed.
#[utoipa::path(get, path = "/api/v1/projects/{project}/runs/{run}/steps/{step}/logs", operation_id = "stepLogs",
    tag = "run", params(("project" = ProjectName, Path), ("run" = RunNumber, Path), ("step" = String, Path), Which),
    responses((status = 200, description = "A page of lines; with `follow`, server-sent events", body = Page<LogLine>),
        (status = "default", body = Problem)))]
pub(crate) async fn step_logs(
    State(cx): State<Cx>,
    asking: Asking,
    Chosen(project): Chosen,
    InPath(path): InPath<InStep>,
    InQuery(which): InQuery<Which>,
    headers: HeaderMap,
) -> Result<Response> {
    let stream = step_stream(&cx, &project.name, &path).await?;
    answer(&cx, asking, vec![(path.step, stream)], (&which, &headers)).await
}

/// The log of a step that exists.
pub(crate) async fn step_stream(cx: &Cx, project: &ProjectName, path: &InStep) -> Result<LogStream> {
    let name = path.step.parse::<NodeName>().ok();
    let steps = cx.store.run_steps(project, path.run).await?;
    let Some(step) = name.filter(|name| steps.iter().any(|step| step.name == *name)) else {
        let list = format!("naru run show {} --project {project}", path.run);
        return Err(Failure::missing(format!("step {:.60} of run {}", path.step, path.run), &list));
    };
    Ok(LogStream::Step { project: project.clone(), run: path.run, step: step.job_name() })
}

/// What the replicas of an environment print.
#[utoipa::path(get, path = "/api/v1/projects/{project}/environments/{environment}/logs",
    operation_id = "serviceLogs", tag = "environment",
    params(("project" = ProjectName, Path), ("environment" = EnvironmentName, Path), Which),
    responses((status = 200, description = "A page of lines; with `follow`, server-sent events", body = Page<LogLine>),
        (status = "default", body = Problem)))]
pub(crate) async fn service_logs(
    State(cx): State<Cx>,
    asking: Asking,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(which): InQuery<Which>,
    headers: HeaderMap,
) -> Result<Response> {
    let environment = environment(&cx, &chosen, path.environment).await?;
    let service = which.service.as_deref().map(str::parse::<ServiceName>).transpose()?;
    let services = match service {
        Some(service) => vec![service],
        None => services(&cx, &environment).await?,
    };
    let stream = |service: ServiceName| {
        let key: EnvironmentKey = environment.key.clone();
        (service.to_string(), LogStream::Service { environment: key, service })
    };
    answer(&cx, asking, services.into_iter().map(stream).collect(), (&which, &headers)).await
}

/// The services that the environment was last told to run.
pub(crate) async fn services(cx: &Cx, environment: &Environment) -> Result<Vec<ServiceName>> {
    let Some(target) = environment.target else { return Ok(Vec::new()) };
    let revision = cx.store.revision(&environment.key, target).await?;
    let Some(release) = revision.and_then(|revision| revision.release) else { return Ok(Vec::new()) };
    let release = cx.store.release(&environment.key.project, release).await?;
    Ok(release.map(|release| release.definition.services.into_keys().collect()).unwrap_or_default())
}

/// Where a client is in each stream: `web=120,worker=7`. Opaque to clients.
type Positions = BTreeMap<String, u64>;

/// A client that reconnects says where it was in a header, which is newer than its address.
fn positions(which: &Which, headers: &HeaderMap) -> Positions {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let text = last.or(which.after.as_deref()).unwrap_or_default();
    let pair = |pair: &str| {
        let (name, number) = pair.split_once('=')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    text.split(',').filter_map(pair).collect()
}

fn written(positions: &Positions) -> String {
    let pairs: Vec<String> = positions.iter().map(|(name, number)| format!("{name}={number}")).collect();
    pairs.join(",")
}

fn line(name: &str, entry: LogEntry, positions: &mut Positions) -> LogLine {
    positions.insert(name.to_owned(), entry.next.0);
    let source = if entry.record.source.is_empty() { name.to_owned() } else { entry.record.source };
    LogLine { at: entry.record.at, position: written(positions), source, text: entry.record.text }
}

async fn answer(
    cx: &Cx,
    asking: Asking,
    streams: Vec<(String, LogStream)>,
    (which, headers): (&Which, &HeaderMap),
) -> Result<Response> {
    let positions = positions(which, headers);
    let search = which.search.as_deref().map(needle).transpose()?;
    if which.follow {
        return streams::serve(cx, asking, follow(cx, streams, positions, search).map(|line| event(&line)));
    }
    match search {
        Some(needle) => found(cx, streams, positions, &needle).await,
        None => page(cx, streams, positions).await,
    }
}

/// What is searched for: part of one line.
fn needle(text: &str) -> Result<String> {
    if text.is_empty() || text.len() > NEEDLE_BYTES || text.contains(['\n', '\r']) {
        let problem = Problem::new("api.bad-search", "this cannot be searched for")
            .cause(format!("accepted: part of one line, 1 to {NEEDLE_BYTES} bytes"));
        return Err(Failure::refused(problem));
    }
    Ok(text.to_owned())
}

/// The next lines that contain the text, those of several streams in the order of their times. Where the search stopped in
/// each stream is in `next`, whether something was found or not.
async fn found(
    cx: &Cx,
    streams: Vec<(String, LogStream)>,
    mut positions: Positions,
    needle: &str,
) -> Result<Response> {
    let each = (LINES_AT_ONCE / streams.len().max(1)).max(1);
    let (mut entries, mut after, mut more) = (Vec::new(), positions.clone(), false);
    for (name, stream) in streams {
        let cursor = Cursor(positions.get(&name).copied().unwrap_or_default());
        let read = cx.logs.search(&stream, needle, cursor, each).await.map_err(Problem::from)?;
        after.insert(name.clone(), read.next.0);
        more |= !read.at_end;
        entries.extend(read.entries.into_iter().map(|entry| (name.clone(), entry)));
    }
    entries.sort_by_key(|(_, entry)| entry.record.at);
    let items: Vec<LogLine> =
        entries.into_iter().map(|(name, entry)| line(&name, entry, &mut positions)).collect();
    Ok(Json(Page { items, next: more.then(|| written(&after)) }).into_response())
}

/// One page. Of several streams, the lines come in the order of their times.
async fn page(cx: &Cx, streams: Vec<(String, LogStream)>, mut positions: Positions) -> Result<Response> {
    let mut entries = Vec::new();
    for (name, stream) in streams {
        let cursor = Cursor(positions.get(&name).copied().unwrap_or_default());
        let read = cx.logs.read(&stream, cursor, LINES_AT_ONCE).await.map_err(Problem::from)?;
        entries.extend(read.entries.into_iter().map(|entry| (name.clone(), entry)));
    }
    entries.sort_by_key(|(_, entry)| entry.record.at);
    let more = entries.len() >= LINES_AT_ONCE;
    entries.truncate(LINES_AT_ONCE);
    let items: Vec<LogLine> =
        entries.into_iter().map(|(name, entry)| line(&name, entry, &mut positions)).collect();
    let next = items.last().filter(|_| more).map(|line| line.position.clone());
    Ok(Json(Page { items, next }).into_response())
}

/// Lines as they come, until every stream is finished.
fn follow(
    cx: &Cx,
    streams: Vec<(String, LogStream)>,
    positions: Positions,
    search: Option<String>,
) -> BoxStream<'static, Result<LogLine, Problem>> {
    let followed = streams.into_iter().map(|(name, stream)| {
        let cursor = Cursor(positions.get(&name).copied().unwrap_or_default());
        cx.logs.follow(&stream, cursor).map(move |entry| (name.clone(), entry)).boxed()
    });
    stream::select_all(followed)
        .scan(positions, |positions, (name, entry)| {
            let item = entry.map(|entry| line(&name, entry, positions)).map_err(Problem::from);
            std::future::ready(Some(item))
        })
        .filter(move |item: &Result<LogLine, Problem>| {
            let text = item.as_ref().map(|line| line.text.as_str());
            let wanted = search.as_ref().is_none_or(|needle| text.is_ok_and(|text| text.contains(needle)));
            std::future::ready(wanted || text.is_err())
        })
        .boxed()
}

fn event(line: &Result<LogLine, Problem>) -> Event {
    match line {
        Ok(line) => {
            let position: String = line.position.chars().filter(|c| !c.is_control()).collect();
            Event::default().event("line").id(position).data(text(line))
        }
        Err(problem) => Event::default().event("problem").data(text(problem)),
    }
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("wire types are plain data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_being_written_and_hostile_ones_start_over() {
        let which = |after: &str| Which { after: Some(after.to_owned()), ..Which::default() };
        let read = positions(&which("web=120,worker=7"), &HeaderMap::new());
        assert_eq!(written(&read), "web=120,worker=7");
        for bad in ["", ",,,", "web", "web=-1", "web=x", "=", "web=99999999999999999999999"] {
            assert!(positions(&which(bad), &HeaderMap::new()).values().all(|number| *number == 0), "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", "web=9".parse().unwrap());
        assert_eq!(written(&positions(&which("web=1"), &headers)), "web=9");
    }
}
