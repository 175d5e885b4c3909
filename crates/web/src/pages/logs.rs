//! What the services of an environment print: live, through every redeploy, and filtered by service, replica, revision and
//! text. Lines that are older than what a service's log keeps are gone.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use naru_model::{EnvironmentKey, EnvironmentName, Problem, RevisionNumber, ServiceName};
use naru_store::log::{LogEntry, LogStream};
use serde::Deserialize;

use crate::Cx;
use crate::access::Chosen;
use crate::border::{InPath, InQuery};
use crate::failure::{Failure, Result};
use crate::routes::log::services;
use crate::routes::{self, InEnvironment};

use super::ansi;
use super::html::{Html, encode};
use super::language::words;
use super::log::{self, LogPlace, Range, Wanted};
use super::shell::{EnvironmentTab, Shell, environment_path};

/// Lines at the end from which the choice of replicas is made.
const LOOKED_AT: u64 = 1000;
/// Lines of a filtered view.
const SHOWN: usize = 500;
/// Lines that are looked through for it, and how many at once.
const SEARCHED: u64 = 200_000;
const AT_ONCE: u64 = 5000;
/// What is searched for at most, in characters.
const NEEDLE: usize = 200;

words! {
    service: "Service", "서비스";
    from: "Printed by", "출력한 곳";
    everything: "all replicas and revisions", "모든 복제본과 리비전";
    revision(number): "revision {number}", "리비전 {number}";
    search: "Lines with", "포함된 말";
    show: "Show", "보기";
    live: "Live", "실시간";
    nothing: "Nothing runs here yet", "아직 실행 중인 서비스가 없어요";
    nothing_how: "What services print is kept here through every redeploy, from the first release on:",
        "첫 릴리스부터 서비스의 출력이 재배포를 거쳐도 여기에 남아요.";
    found(count): "{count} newest lines that fit", "맞는 최근 줄 {count}개";
    none_found: "No line fits.", "맞는 줄이 없어요.";
    not_all(lines): "Only the newest {lines} lines were looked through.", "최근 {lines}줄만 찾아봤어요.";
    results: "Lines that fit", "맞는 줄";
    follow: "From a terminal", "터미널에서";
}

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    service: String,
    /// `replica:web-3-0` or `revision:3`.
    from: String,
    q: String,
    line: Option<u64>,
}

impl Asked {
    fn is_filtered(&self) -> bool {
        !self.from.is_empty() || !self.q.trim().is_empty()
    }
}

/// A replica or revision to choose.
struct Source {
    value: String,
    label: String,
}

/// What a filter found.
#[derive(Default)]
struct Found {
    lines: Html,
    count: usize,
    /// Whether older lines were not looked through.
    is_cut: bool,
}

#[derive(Template)]
#[template(path = "logs.html")]
struct LogsPage<'a> {
    shell: &'a Shell,
    w: Words,
    chosen: &'a Chosen,
    environment: &'a EnvironmentName,
    base: String,
    services: Vec<ServiceName>,
    service: String,
    sources: Vec<Source>,
    asked: &'a Asked,
    live: Option<Html>,
    found: Option<Found>,
}

/// The page.
pub(crate) async fn show(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    InPath(path): InPath<InEnvironment>,
    InQuery(asked): InQuery<Asked>,
) -> Result<Response> {
    let row = routes::environment(&cx, &chosen, path.environment.clone()).await?;
    let mut shell = shell.in_environment(&cx, &chosen, &path.environment, EnvironmentTab::Logs).await?;
    // The log's own stream is enough: a browser opens six connections to a server, and two for each tab are soon too many.
    shell.events = None;
    let services = services(&cx, &row).await?;
    let service = services.iter().find(|name| name.as_str() == asked.service).or(services.first()).cloned();
    let mut page = LogsPage {
        w: Words(shell.language),
        chosen: &chosen,
        environment: &path.environment,
        base: format!("{}/logs", environment_path(&chosen.0.name, path.environment.as_str())),
        services,
        service: service.as_ref().map(ToString::to_string).unwrap_or_default(),
        sources: Vec::new(),
        asked: &asked,
        live: None,
        found: None,
        shell: &shell,
    };
    if let Some(service) = service {
        let place = place(&page.base, &service);
        let stream = LogStream::Service { environment: row.key.clone(), service: service.clone() };
        page.sources = sources(&cx, page.w, &stream, &service).await?;
        if asked.is_filtered() {
            page.found = Some(filtered(&cx, &shell, &place, &stream, &asked).await?);
        } else {
            page.live = Some(live(&cx, &shell, &place, &stream, (&row.key, asked.line)).await?);
        }
    }
    Ok(shell.page(&page))
}

fn place(base: &str, service: &ServiceName) -> LogPlace {
    LogPlace {
        name: service.to_string(),
        page: base.to_owned(),
        key: "service",
        source: format!("{base}/{service}"),
        has_sources: true,
    }
}

/// The log as it grows: the script is rung by the API's event stream from the end on.
async fn live(
    cx: &Cx,
    shell: &Shell,
    place: &LogPlace,
    stream: &LogStream,
    (key, line): (&EnvironmentKey, Option<u64>),
) -> Result<Html> {
    let end = cx.logs.end(stream).await.map_err(Problem::from)?;
    let after = encode(&format!("{}={}", place.name, end.0));
    let (project, environment) = (&key.project, &key.environment);
    let follow = format!(
        "/api/v1/projects/{project}/environments/{environment}/logs?follow=true&service={}&after={after}",
        place.name
    );
    log::view(cx, shell, stream, (place, false, Some(follow)), line.filter(|line| *line > 0)).await
}

/// The replicas that printed of late, and their revisions.
async fn sources(cx: &Cx, w: Words, stream: &LogStream, service: &ServiceName) -> Result<Vec<Source>> {
    let total = cx.logs.lines(stream, 0, 0).await.map_err(Problem::from)?.total;
    let newest =
        cx.logs.lines(stream, total.saturating_sub(LOOKED_AT), LOOKED_AT).await.map_err(Problem::from)?;
    let names: BTreeSet<String> = newest.entries.into_iter().map(|entry| entry.record.source).collect();
    let revisions: BTreeSet<_> = names.iter().filter_map(|name| revision_of(service, name)).collect();
    let revision =
        |number: &RevisionNumber| Source { value: format!("revision:{number}"), label: w.revision(number) };
    let replicas = names.iter().filter(|name| revision_of(service, name).is_some());
    let replica = |name: &String| Source { value: format!("replica:{name}"), label: name.clone() };
    Ok(revisions.iter().rev().map(revision).chain(replicas.map(replica)).collect())
}

/// The revision in a replica's name, `web-3-0` or `web-3-0-2`.
fn revision_of(service: &ServiceName, replica: &str) -> Option<RevisionNumber> {
    let rest = replica.strip_prefix(service.as_str())?.strip_prefix('-')?;
    rest.split('-').next()?.parse().ok()
}

/// Whether a line is wanted.
fn fits(service: &str, asked: &Asked, needle: &str, entry: &LogEntry) -> bool {
    let source = entry.record.source.as_str();
    let from = match asked.from.split_once(':') {
        Some(("replica", name)) => source == name,
        Some(("revision", number)) => source.starts_with(&format!("{service}-{number}-")),
        _ => true,
    };
    from && (needle.is_empty() || ansi::plain(&entry.record.text).to_lowercase().contains(needle))
}

/// The newest lines that fit, looked for from the end on.
async fn filtered(
    cx: &Cx,
    shell: &Shell,
    place: &LogPlace,
    stream: &LogStream,
    asked: &Asked,
) -> Result<Found> {
    let needle: String = asked.q.trim().chars().take(NEEDLE).flat_map(char::to_lowercase).collect();
    let total = cx.logs.lines(stream, 0, 0).await.map_err(Problem::from)?.total;
    let (mut before, mut newest_first) = (total, Vec::new());
    let oldest = total.saturating_sub(SEARCHED);
    while before > oldest && newest_first.len() < SHOWN {
        let first = before.saturating_sub(AT_ONCE).max(oldest);
        let page = cx.logs.lines(stream, first, before - first).await.map_err(Problem::from)?;
        let numbered: Vec<_> = (page.first + 1..).zip(page.entries).collect();
        let fitting = numbered.iter().rev().filter(|(_, entry)| fits(&place.name, asked, &needle, entry));
        newest_first.extend(fitting.map(|(number, entry)| log::line_markup(shell, place, *number, entry)));
        before = first;
    }
    newest_first.truncate(SHOWN);
    let is_cut = before == oldest && oldest > 0 && newest_first.len() < SHOWN;
    Ok(Found { count: newest_first.len(), lines: Html(newest_first.into_iter().rev().collect()), is_cut })
}

/// `{environment}` and `{service}` in a path.
#[derive(Deserialize)]
pub(crate) struct InService {
    environment: EnvironmentName,
    service: ServiceName,
}

/// The log of a service that the environment has.
async fn stream(cx: &Cx, chosen: &Chosen, path: &InService) -> Result<LogStream> {
    let row = routes::environment(cx, chosen, path.environment.clone()).await?;
    if !services(cx, &row).await?.contains(&path.service) {
        let list = format!("naru status --project {} --environment {}", chosen.0.name, path.environment);
        return Err(Failure::missing(format!("service `{}`", path.service), &list));
    }
    Ok(LogStream::Service { environment: row.key, service: path.service.clone() })
}

/// Lines for the script.
pub(crate) async fn lines(
    State(cx): State<Cx>,
    shell: Shell,
    chosen: Chosen,
    InPath(path): InPath<InService>,
    InQuery(range): InQuery<Range>,
) -> Result<Response> {
    let stream = stream(&cx, &chosen, &path).await?;
    let page = log::read_lines(&cx, &stream, &range).await?;
    Ok(log::answer_lines(&shell, &place("", &path.service), &page, false))
}

/// Where the log has what is searched, for the script.
pub(crate) async fn find(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InService>,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Response> {
    log::found(&cx, &stream(&cx, &chosen, &path).await?, &wanted).await
}

/// The whole log as text.
pub(crate) async fn text(
    State(cx): State<Cx>,
    chosen: Chosen,
    InPath(path): InPath<InService>,
) -> Result<Response> {
    let stream = stream(&cx, &chosen, &path).await?;
    let name = format!("{}-{}-{}.log", chosen.0.name, path.environment, path.service);
    Ok(log::whole(&cx, stream, &name, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_of_a_replica_is_in_its_name() {
        let web: ServiceName = "web".parse().unwrap();
        let of = |name: &str| revision_of(&web, name).map(|number| number.0);
        assert_eq!(
            (of("web-3-0"), of("web-12-1-2"), of("worker-3-0"), of("naru"), of("web-x-0")),
            (Some(3), Some(12), None, None, None)
        );
    }
}
