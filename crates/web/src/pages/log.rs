//! Lines of output on a page: a window into a log of any length. The script scrolls through it by line number; without it
//! there are links to what comes before and after.

use std::fmt::Write as _;

use aho_corasick::AhoCorasick;
use askama::Template;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use naru_model::Problem;
use naru_store::log::{LinePage, LogEntry, LogStream};
use serde::{Deserialize, Serialize};
use tokio_stream::StreamExt as _;

use crate::Cx;
use crate::access::Chosen;
use crate::border::{InPath, InQuery};
use crate::failure::{Failure, Result};
use crate::routes::log::{InStep, step_stream};

use super::ansi;
use super::html::{Html, encode, escape};
use super::language::words;
use super::shell::Shell;

/// Lines on a page without the script.
const SHOWN: u64 = 200;
/// Lines of one answer to the script.
const MOST: u64 = 1000;
/// Hits that are counted.
const HITS: usize = 1000;
/// What a search asks for at most, in characters.
const NEEDLE: usize = 200;

/// Words by which a line is taken for an error.
const ERRORS: [&str; 7] = ["error", "fatal", "panicked", "failed", "exception", "traceback", "cannot find"];
/// Words that lead astray, as in `0 errors`.
const NO_ERRORS: [&str; 4] = ["0 errors", "0 failed", "no errors", "errors: 0"];

words! {
    log_of(step): "Output of {step}", "{step} 출력";
    search: "Find in the log", "로그에서 찾기";
    previous: "Previous hit", "이전 결과";
    next: "Next hit", "다음 결과";
    first_error: "First error", "첫 오류";
    wrap: "Wrap", "줄 바꿈";
    times: "Times", "시각";
    download: "Download", "내려받기";
    earlier: "Earlier lines", "이전 줄";
    later: "Later lines", "다음 줄";
    range(first, last, total): "lines {first} to {last} of {total}", "{total}줄 중 {first}~{last}";
    nothing: "Nothing was printed yet.", "아직 출력이 없어요.";
}

#[derive(Template)]
#[template(path = "log.html")]
struct LogView<'a> {
    w: Words,
    /// What its lines are addressed by.
    place: &'a LogPlace,
    /// The event stream whose rings the script answers by looking for new lines.
    follow: Option<String>,
    first: u64,
    last: u64,
    total: u64,
    is_over: bool,
    /// The line that was asked for.
    line: Option<u64>,
    lines: Html,
}

/// What a log on a page is called, and how its lines are addressed there.
#[derive(Debug, Clone)]
pub(super) struct LogPlace {
    /// The step or service.
    pub(super) name: String,
    /// The page it stands on.
    pub(super) page: String,
    /// The word of the page's query that names it.
    pub(super) key: &'static str,
    /// Where lines, hits and the whole text are had from.
    pub(super) source: String,
    /// Whether each line says which replica printed it.
    pub(super) has_sources: bool,
}

impl LogPlace {
    /// A step of a run.
    pub(super) fn of_step(page: &str, step: &str) -> Self {
        Self {
            name: step.to_owned(),
            page: page.to_owned(),
            key: "step",
            source: format!("{page}/steps/{}", encode(step)),
            has_sources: false,
        }
    }

    /// The query of a line, without its number.
    fn query(&self) -> String {
        format!("{}={}", self.key, encode(&self.name))
    }

    fn anchor(&self) -> String {
        format!("{}-{}", self.key, self.name)
    }
}

/// A log, around `line` when one is asked for, else its end.
pub(super) async fn view(
    cx: &Cx,
    shell: &Shell,
    stream: &LogStream,
    (place, is_over, follow): (&LogPlace, bool, Option<String>),
    line: Option<u64>,
) -> Result<Html> {
    let total = cx.logs.lines(stream, 0, 0).await.map_err(Problem::from)?.total;
    let first = match line {
        Some(line) => line.saturating_sub(SHOWN / 2),
        None => total.saturating_sub(SHOWN),
    };
    let lines = cx.logs.lines(stream, first, SHOWN).await.map_err(Problem::from)?;
    let view = LogView {
        w: Words(shell.language),
        place,
        follow,
        first: first + 1,
        last: first + lines.entries.len() as u64,
        total: lines.total,
        is_over,
        line,
        lines: markup(shell, place, &lines),
    };
    Ok(Html(view.render().unwrap_or_default()))
}

/// Lines with their numbers, which count from 1 for people.
fn markup(shell: &Shell, place: &LogPlace, page: &LinePage) -> Html {
    let numbered = (page.first + 1..).zip(&page.entries);
    Html(numbered.map(|(number, entry)| line_markup(shell, place, number, entry)).collect())
}

/// One line.
pub(super) fn line_markup(shell: &Shell, place: &LogPlace, number: u64, entry: &LogEntry) -> String {
    let (name, query) = (escape(&place.name), place.query());
    let clock = shell.reader.clock(entry.record.at);
    let text = ansi::markup(&entry.record.text);
    let class = if entry.record.source == "naru" { " d" } else { "" };
    let source = if place.has_sources {
        format!(r#"<span class="source">{}</span>"#, escape(&entry.record.source))
    } else {
        String::new()
    };
    // Numbers are no stops of the tabulator: who searches or jumps gets the line's address, too.
    format!(
        r#"<div class="line{class}" id="{name}-L{number}"><a tabindex="-1" href="?{query}&amp;line={number}#{name}-L{number}">{number}</a><time>{clock}</time>{source}<span>{text}</span></div>"#
    )
}

/// Which lines, from 0 on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Range {
    from: u64,
    count: u64,
}

/// Lines for the script: markup, with how many there are in headers.
pub(crate) async fn lines(
    State(cx): State<Cx>,
    shell: Shell,
    Chosen(project): Chosen,
    InPath(path): InPath<InStep>,
    InQuery(range): InQuery<Range>,
) -> Result<Response> {
    let stream = step_stream(&cx, &project.name, &path).await?;
    let page = read_lines(&cx, &stream, &range).await?;
    let steps = cx.store.run_steps(&project.name, path.run).await?;
    let is_over = steps.iter().any(|step| step.name.to_string() == path.step && step.log_complete);
    Ok(answer_lines(&shell, &LogPlace::of_step("", &path.step), &page, is_over))
}

/// Lines for the script, as both kinds of logs give them.
pub(super) fn answer_lines(shell: &Shell, place: &LogPlace, page: &LinePage, is_over: bool) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (HeaderName::from_static("naru-total"), page.total.to_string()),
        (HeaderName::from_static("naru-over"), is_over.to_string()),
    ];
    (headers, markup(shell, place, page).0).into_response()
}

/// The lines of a range, no more than one answer may have.
pub(super) async fn read_lines(cx: &Cx, stream: &LogStream, range: &Range) -> Result<LinePage> {
    Ok(cx.logs.lines(stream, range.from, range.count.min(MOST)).await.map_err(Problem::from)?)
}

/// What is searched.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    q: String,
    /// The first line that looks like an error, instead.
    error: bool,
}

/// The numbers of lines, from 1 on.
#[derive(Serialize)]
struct Found {
    lines: Vec<u64>,
    more: bool,
}

/// Lines that have what is searched, in any case.
pub(crate) async fn find(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    InPath(path): InPath<InStep>,
    InQuery(wanted): InQuery<Wanted>,
) -> Result<Response> {
    let stream = step_stream(&cx, &project.name, &path).await?;
    found(&cx, &stream, &wanted).await
}

/// Where a log has what is searched.
pub(super) async fn found(cx: &Cx, stream: &LogStream, wanted: &Wanted) -> Result<Response> {
    let needle: String = wanted.q.chars().take(NEEDLE).collect();
    let limit = if wanted.error { 1 } else { HITS };
    let (found, more) = if wanted.error {
        let (errors, none) = (matcher(&ERRORS)?, matcher(&NO_ERRORS)?);
        cx.logs.find_lines(stream, move |text| errors.is_match(text) && !none.is_match(text), limit).await
    } else if needle.is_empty() {
        Ok((Vec::new(), false))
    } else {
        let hits = matcher(&[needle])?;
        cx.logs.find_lines(stream, move |text| hits.is_match(&ansi::plain(text)), limit).await
    }
    .map_err(Problem::from)?;
    let lines = found.into_iter().map(|number| number + 1).collect();
    Ok(axum::Json(Found { lines, more }).into_response())
}

/// The number of the first line that has what is wanted, in any case; from 1 on.
pub(super) async fn first_line_with(cx: &Cx, stream: &LogStream, wanted: &str) -> Result<Option<u64>> {
    let needle: String = wanted.chars().take(NEEDLE).collect();
    if needle.is_empty() {
        return Ok(None);
    }
    let hits = matcher(&[needle])?;
    let found = cx.logs.find_lines(stream, move |text| hits.is_match(&ansi::plain(text)), 1).await;
    Ok(found.map_err(Problem::from)?.0.first().map(|number| number + 1))
}

fn matcher(needles: &[impl AsRef<[u8]>]) -> Result<AhoCorasick> {
    let built = AhoCorasick::builder().ascii_case_insensitive(true).build(needles);
    built.map_err(|error| Failure::refused(Problem::new("api.bad-request", error.to_string())))
}

/// The whole log as text.
pub(crate) async fn text(
    State(cx): State<Cx>,
    Chosen(project): Chosen,
    InPath(path): InPath<InStep>,
) -> Result<Response> {
    let stream = step_stream(&cx, &project.name, &path).await?;
    let name = format!("{}-run-{}-{}.log", project.name, path.run, path.step.replace(':', "-"));
    Ok(whole(&cx, stream, &name, false))
}

/// A whole log as a file.
pub(super) fn whole(cx: &Cx, stream: LogStream, name: &str, has_sources: bool) -> Response {
    let logs = cx.logs.clone();
    let pages = futures::stream::try_unfold(Some(naru_store::log::Cursor::default()), move |cursor| {
        let (logs, stream) = (logs.clone(), stream.clone());
        async move {
            let Some(cursor) = cursor else { return Ok(None) };
            let page = logs.read(&stream, cursor, 10_000).await.map_err(std::io::Error::other)?;
            let mut text = String::new();
            for entry in &page.entries {
                let source = if has_sources { entry.record.source.as_str() } else { "" };
                let joint = if source.is_empty() { "" } else { " " };
                let _ =
                    writeln!(text, "{}{joint}{source} {}", entry.record.at, ansi::plain(&entry.record.text));
            }
            Ok::<_, std::io::Error>(Some((text, (!page.at_end).then_some(page.next))))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    (headers, axum::body::Body::from_stream(pages.map(|text| text))).into_response()
}
